"""Requests to forget -> tables, crops, indexes and snapshots that know nothing any more."""

from __future__ import annotations

import asyncio
import resource

import pytest
from sqlalchemy import select

from services.reid.gallery.announcing import Herald
from services.reid.gallery.faiss_gallery import SNAPSHOT_EVERY, FaissGallery
from services.reid.gallery.forgetting import Erasure, Forgetting
from services.reid.gallery.space import Space
from services.reid.gallery.tables import ForgottenRow, LeaseRow, MergedPersonRow, TrackletRow
from shared.blobs import FolderBlobs
from shared.database import Database
from shared.errors import Conflict, Invalid, LeaseLost, Missing
from tests.unit.reid.test_gallery_contract import QUERY
from tests.unit.reid.test_gallery_contract import batch as rows
from tests.unit.reid.test_gallery_writer import (
    DIGEST,
    at,
    clip,
    gallery,
    looks,
    space,
    tracklet,
)

__all__ = ["gallery"]


@pytest.fixture
def forgetting(gallery, tmp_path):
    return Forgetting(gallery.database, FolderBlobs(tmp_path / "blobs"), Herald(1))


def anna_and_ben(seq: int = 0):
    return clip(seq, tracklet(0, "anna", at(seq), x=50), tracklet(1, "ben", at(seq), x=200))


async def person_of(gallery, name: str) -> str:
    return (await gallery.persons())[name]


async def test_a_forgotten_person_is_in_no_table_and_found_by_nobody(gallery, forgetting, tmp_path):
    reader = space(gallery, tmp_path / "reader")
    await gallery.take(anna_and_ben())
    await reader.load()
    anna = await person_of(gallery, "gate/1/0/0")
    assert await forgetting.forget(Erasure(person_id=anna)) == 1
    assert list(await gallery.persons()) == ["gate/1/0/1"]
    await reader.follow()
    found = (await reader.search(looks("anna").astype("f4"), 5)).hits
    assert anna not in {hit.person_id for hit in found}
    assert await reader.gallery.count() == 1


async def test_their_crops_are_deleted_also_after_a_crash_in_between(gallery, forgetting, tmp_path):
    blobs = FolderBlobs(tmp_path / "blobs")
    for name in ("anna", "ben"):
        await blobs.put(f"crops/{name}.jpg", b"picture")
    await gallery.take(anna_and_ben())
    await forgetting.forget(Erasure(person_id=await person_of(gallery, "gate/1/0/0")))
    assert await blobs.get("crops/anna.jpg") == b"picture"
    await Forgetting(gallery.database, blobs, Herald(1)).sweep()
    with pytest.raises(Missing):
        await blobs.get("crops/anna.jpg")
    assert await blobs.get("crops/ben.jpg") == b"picture"
    async with gallery.database.reading() as session:
        (tombstone,) = await session.scalars(select(ForgottenRow))
    assert tombstone.crop is None


async def test_a_redelivery_raises_nobody_from_the_dead(gallery, forgetting):
    await gallery.take(anna_and_ben())
    await forgetting.forget(Erasure(camera_ids={"gate"}))
    await gallery.take(anna_and_ben())
    assert await gallery.persons() == {}


async def test_somebody_forgotten_who_comes_again_is_somebody_new(gallery, forgetting):
    await gallery.take(anna_and_ben())
    anna = await person_of(gallery, "gate/1/0/0")
    await forgetting.forget(Erasure(person_id=anna))
    await gallery.take(clip(5, tracklet(0, "anna", at(5), x=50, seed=3), camera="door"), clip(1))
    for seq in range(5):
        await gallery.take(clip(seq, camera="door"))
    assert await person_of(gallery, "door/1/5/0") != anna


async def test_what_follows_the_tables_learns_of_ids_that_were_given_again(
    gallery, forgetting, tmp_path
):
    reader = space(gallery, tmp_path / "reader")
    await gallery.take(anna_and_ben())
    await reader.load()
    await forgetting.forget(Erasure(camera_ids={"gate"}))
    await gallery.take(clip(1, tracklet(0, "carl", at(1), x=300)))
    await reader.follow()
    assert await reader.gallery.count() == 1
    (hit,) = (await reader.search(looks("carl").astype("f4"), 5)).hits
    assert hit.person_id == await person_of(gallery, "gate/1/1/0")


async def test_conditions_apply_together_and_none_at_all_is_refused(gallery, forgetting):
    await gallery.take(anna_and_ben(), anna_and_ben(1))
    anna = await person_of(gallery, "gate/1/0/0")
    assert await forgetting.forget(Erasure(person_id=anna, camera_ids={"door"})) == 0
    assert await forgetting.forget(Erasure(person_id=anna, before_us=at(1))) == 1
    assert len(await gallery.persons()) == 3
    with pytest.raises(Invalid) as refused:
        await forgetting.forget(Erasure())
    assert refused.value.code == "forgets_everything"


async def test_processes_that_forget_while_one_writes_give_every_change_a_number_of_its_own(
    gallery, forgetting
):
    await gallery.take(*(anna_and_ben(seq) for seq in range(4)))
    other = Database(gallery.database.url)
    twin = Forgetting(other, FolderBlobs(forgetting._blobs._root), Herald(1))
    await asyncio.gather(
        forgetting.forget(Erasure(before_us=at(1))),
        twin.forget(Erasure(before_us=at(2))),
        gallery.take(anna_and_ben(4), anna_and_ben(5)),
    )
    await other.close()
    async with gallery.database.reading() as session:
        revisions = list(await session.scalars(select(TrackletRow.revision)))
        revisions += list(await session.scalars(select(ForgottenRow.revision)))
    assert len(revisions) == len(set(revisions))


async def test_who_is_merged_away_while_they_are_to_be_forgotten_is_not_said_to_be(
    gallery, forgetting, tmp_path
):
    await gallery.take(anna_and_ben())
    anna, ben = (await gallery.persons()).values()
    other = Database(gallery.database.url)
    twin = Forgetting(other, FolderBlobs(tmp_path / "blobs"), Herald(1))
    async with gallery.database.writing() as session:
        asked = asyncio.create_task(twin.forget_person(ben, None))
        # Long enough for whoever looks before it is their turn.
        await asyncio.sleep(0.2)
        for row in await session.scalars(select(TrackletRow).where(TrackletRow.person_id == ben)):
            row.person_id = anna
        session.add(MergedPersonRow(person_id=ben, into_person=anna, change_id="c"))
    with pytest.raises(Conflict) as refused:
        await asked
    assert refused.value.code == "person_merged"
    assert set((await gallery.persons()).values()) == {anna}
    await other.close()


async def test_a_person_of_many_pages_is_forgotten_whole(gallery, forgetting, monkeypatch):
    monkeypatch.setattr("services.reid.gallery.forgetting.PAGE", 1)
    await gallery.take(anna_and_ben(), anna_and_ben(1))
    anna = await person_of(gallery, "gate/1/0/0")
    assert await forgetting.forget_person(anna, {"gate"}) == 2
    assert anna not in (await gallery.persons()).values()


async def test_a_snapshot_remembers_nobody_who_was_forgotten(gallery, forgetting, tmp_path):
    shelf = tmp_path / "shelf"
    await gallery.take(anna_and_ben())
    first = space(gallery, shelf)
    await first.load()
    await first.gallery.save()
    await forgetting.forget(Erasure(person_id=await person_of(gallery, "gate/1/0/0")))
    await first.follow()
    await first.gallery.tend()
    (file,) = shelf.iterdir()
    assert looks("anna").tobytes() not in file.read_bytes()
    assert looks("ben").tobytes() in file.read_bytes()


@pytest.fixture
def full_disk():
    """Files may grow to 16 kB from now on: writing beyond fails in the middle."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, hard))

    yield fill
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_costs_the_snapshot_and_nothing_else(tmp_path, full_disk):
    gallery = FaissGallery(tmp_path, DIGEST)
    await gallery.put(rows(20), 20)
    await gallery.save()
    (file,) = tmp_path.iterdir()
    before = file.read_bytes()
    await gallery.put(rows(200), 200)
    full_disk()
    await gallery.save()
    assert [path.name for path in tmp_path.iterdir()] == [file.name], "nothing half written is left"
    assert file.read_bytes() == before
    assert len((await gallery.search(QUERY, 300)).hits) == 200
    again = FaissGallery(tmp_path, DIGEST)
    await again.open(200)
    assert (again.revision, await again.count()) == (20, 20)


async def test_a_snapshot_is_written_where_much_has_changed_and_not_before(tmp_path):
    gallery = FaissGallery(tmp_path, DIGEST)
    await gallery.put(rows(20), SNAPSHOT_EVERY - 1)
    await gallery.tend()
    assert list(tmp_path.iterdir()) == []
    await gallery.put(rows(20), SNAPSHOT_EVERY)
    await gallery.tend()
    assert len(list(tmp_path.iterdir())) == 1


async def test_on_a_full_disk_a_snapshot_with_the_forgotten_is_removed(tmp_path, full_disk):
    gallery = FaissGallery(tmp_path, DIGEST)
    await gallery.put(rows(200), 200)
    await gallery.save()
    full_disk()
    await gallery.forget([1], 201)
    await gallery.tend()
    assert list(tmp_path.iterdir()) == []


async def test_two_writers_by_mistake_the_second_stands_by_and_the_paused_first_cannot_write(
    gallery,
):
    second = type(gallery)(gallery.bus, gallery.database, gallery.folder / "second")
    assert await second.leadership._acquire() is None, "a standby waits"
    async with gallery.database.writing() as session:
        (await session.get(LeaseRow, "gallery")).expires_us = 0
    await second.lead()
    with pytest.raises(LeaseLost):
        await gallery.take(anna_and_ben())
    await second.take(anna_and_ben())
    assert len(await gallery.persons()) == 2


async def test_a_reader_of_another_space_forgets_nothing_of_its_own(gallery, forgetting, tmp_path):
    await gallery.take(anna_and_ben())
    other = Space(gallery.database, FaissGallery(tmp_path / "other", "e" * 64))
    await other.load()
    await forgetting.forget(Erasure(camera_ids={"gate"}))
    await other.follow()
    assert await other.gallery.count() == 0
