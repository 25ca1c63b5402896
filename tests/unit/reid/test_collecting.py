"""Labelled people and what live cameras saw -> one data set, without the held out and forgotten."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from services.reid.gallery.announcing import Herald
from services.reid.gallery.forgetting import Erasure, Forgetting
from services.reid.gallery.glimpses import Glimpses
from services.reid.gallery.schema import MIGRATIONS
from services.reid.gallery.tables import TrackletRow
from services.reid.retraining import CollectingParams
from services.reid.settings import ReidSettings
from services.reid.training.collecting import LEAST, collect
from services.reid.training.roster import is_held_out
from shared.blobs import FolderBlobs
from shared.database import Database, migrate_once
from shared.errors import Conflict
from shared.images import decode, encode_jpeg
from shared.jobs import JobCancelled, JobContext
from shared.made_data import MadeData
from tests.drawn_people import drawn, write_people

REAL, JOB, NEXT = (f"{n:026}" for n in range(1, 4))
PEOPLE, SHARE, SEEN = range(1, 31), 0.4, 40


class Home:
    """Of a re-ID service: its data sets, its tables, its crops."""

    def __init__(self, folder) -> None:
        self.folder = folder
        settings = ReidSettings()
        self.url, self.shelf = settings.database_of("reid"), settings.datasets_folder
        self.blobs = FolderBlobs(settings.blobs)

    def run(self, act):
        async def with_tables():
            database = Database(self.url)
            try:
                return await act(database)
            finally:
                await database.close()

        return asyncio.run(with_tables())

    def see(self, camera_id: str, people, quality: float = 0.9) -> None:
        async def write(database):
            for n in people:
                crop = f"crops/{camera_id}/1/{n}-0.jpg"
                pixels = decode(drawn(n, 3, 0), "rgb").repeat(4, axis=0).repeat(3, axis=1)
                await self.blobs.put(crop, encode_jpeg(pixels))
                async with database.writing() as session:
                    session.add(tracklet(n, camera_id, crop, quality))

        self.run(write)

    def context(self, job_id: str = JOB) -> JobContext:
        folder = self.folder / "jobs" / job_id
        folder.mkdir(parents=True, exist_ok=True)
        return JobContext(job_id, folder)


def tracklet(n: int, camera_id: str, crop: str, quality: float) -> TrackletRow:
    return TrackletRow(
        name=f"{camera_id}/1/{n}/0",
        camera_id=camera_id,
        track_id=f"{n:026}",
        start_us=n,
        end_us=n + 1,
        boxes=[],
        vector=b"",
        model_digest="d",
        quality=quality,
        crop=crop,
        person_id=f"{n:026}",
        confidence=1.0,
        how="new",
        revision=n,
    )


@pytest.fixture
def home(tmp_path, monkeypatch) -> Home:
    monkeypatch.setenv("CITYBRAIN_HOME", str(tmp_path))
    home = Home(tmp_path)
    asyncio.run(migrate_once(home.url, MIGRATIONS))
    write_people(home.shelf / REAL, PEOPLE, crops=1)
    return home


def asked(*cameras: str, **changes) -> CollectingParams:
    usual = {"labelled": REAL, "cameras": cameras, "held_out": SHARE, "crops": SEEN}
    return CollectingParams(**(usual | changes))


def test_live_cameras_get_numbers_of_their_own_and_whoever_they_saw_is_nobody(home):
    home.see("cam-7", range(1, 60))
    home.see("door", range(100, 100 + LEAST))
    result = collect(asked("cam-7", "c2", "door"), home.context())
    learnt = [person for person in PEOPLE if not is_held_out(person, SHARE)]
    assert result["cameras"] == {"cam-7": "c3", "c2": "c2", "door": "c4"}
    assert result["ways"] == 5 * len(learnt), "to a live camera from both, to c2 from c1"
    assert result["counts"] == {
        "pictures": 2 * len(learnt) + SEEN + LEAST,
        "of c1": len(learnt),
        "of c2": len(learnt),
        "of c3": SEEN,
        "of c4": LEAST,
    }
    data = MadeData.read(home.shelf / result["dataset_id"])
    assert (data.manifest.synthetic, data.manifest.classes) == (False, ("c1", "c2", "c3", "c4"))
    assert data.manifest.lineage["parents"][0]["id"] == REAL
    nobody = [path for path in data.images if path.name.startswith("-1_")]
    assert {path.name[:5] for path in nobody} == {"-1_c3", "-1_c4"}
    assert {decode(path.read_bytes(), "rgb").shape for path in nobody} == {(32, 16, 3)}
    named = {int(path.name[:4]) for path in data.images if path not in nobody}
    assert named == set(learnt), "who is held out is not in it"
    as_they_are = data.folder / "images" / f"{learnt[0]:04}_c1s1_000000_00.png"
    assert as_they_are.read_bytes() == drawn(learnt[0], 1, 0)
    assert collect(asked("cam-7", "c2", "door"), home.context()) == result, "it is done once"


def test_what_it_takes_of_a_camera_is_spread_over_its_footage_and_good_enough(home):
    home.see("cam-7", range(60))
    home.see("cam-7", range(60, 90), quality=0.01)

    async def glimpsed(database):
        return await Glimpses(database, home.blobs, 0.15, 32, 16).of("cam-7", 20)

    crops = home.run(glimpsed)
    means = np.array([crop.mean() for crop in crops])
    every = [decode(drawn(n, 3, 0), "rgb").mean() for n in range(59, -1, -1)]
    assert len(crops) == 20
    assert np.corrcoef(means, [every[n] for n in np.linspace(0, 59, 20).astype(int)])[0, 1] > 0.99


def test_who_is_forgotten_is_not_collected_even_while_crops_are_read(home):
    home.see("cam-7", range(1, 21))

    class Slow:
        """Crops that are read while somebody is forgotten."""

        def __init__(self, database) -> None:
            self.database = database

        async def get(self, key):
            body = await home.blobs.get(key)
            if key.endswith("/20-0.jpg"):
                await Forgetting(self.database, home.blobs, Herald(1)).forget(
                    Erasure(person_id=f"{20:026}")
                )
            return body

    async def glimpsed(database):
        return await Glimpses(database, Slow(database), 0.15, 32, 16).of("cam-7", 20)

    assert len(home.run(glimpsed)) == 19
    assert len(home.run(glimpsed)) == 19


def test_a_camera_that_has_seen_too_little_is_named_with_the_cure(home):
    home.see("cam-7", range(1, LEAST))
    with pytest.raises(Conflict) as refused:
        collect(asked("cam-7"), home.context())
    assert refused.value.code == "too_few_crops"
    assert f"'cam-7' {LEAST - 1} crops" in str(refused.value)
    assert "let it watch for longer" in str(refused.value)
    assert [path.name for path in home.shelf.iterdir()] == [REAL]


def test_a_job_that_is_stopped_leaves_nothing_and_a_dead_ones_draft_goes(home):
    context = home.context()
    context.stop.set()
    with pytest.raises(JobCancelled):
        collect(asked("c1"), context)
    assert [path.name for path in home.shelf.iterdir()] == [REAL]
    (home.shelf / f".new-{NEXT}" / "images").mkdir(parents=True)
    collect(asked("c1"), home.context(NEXT))
    assert sorted(path.name for path in home.shelf.iterdir()) == [REAL, NEXT]
