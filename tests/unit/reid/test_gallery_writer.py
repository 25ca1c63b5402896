"""Tracklets on the bus -> persons in the tables, sightings on the bus, an index that follows."""

from __future__ import annotations

import asyncio
import zlib

import numpy as np
import ormsgpack
import pytest
from sqlalchemy import select

from services.reid.core.camera_graph import GraphSettings
from services.reid.core.identity import IdentitySettings
from services.reid.gallery.faiss_gallery import FaissGallery
from services.reid.gallery.revisions import newest_revision
from services.reid.gallery.schema import MIGRATIONS
from services.reid.gallery.space import Space
from services.reid.gallery.spaces import Spaces
from services.reid.gallery.tables import (
    ForgottenRow,
    How,
    LeaseRow,
    OriginRow,
    OutboxRow,
    TrackletRow,
)
from services.reid.gallery.travels import graph_of
from services.reid.gallery.worker import GalleryWriter
from shared.bus import Delivery
from shared.clock import now_us
from shared.database import Database, migrate_once
from shared.errors import LeaseLost, Missing
from shared.health import Health
from shared.leases import Leadership, Lease
from shared.messages import (
    Box,
    Detection,
    Outcome,
    PersonsRevised,
    PersonsSighted,
    Tracklet,
    TrackletsEmbedded,
)
from shared.model_store import ModelStore
from shared.outbox import Relay
from shared.topics import SIGHTINGS, TRACKLETS
from tests.unit.reid.fakes import OneModelStore

SECOND = 1_000_000
START = 1_700_000_000 * SECOND
DIGEST = "d" * 64
DELIVERY = Delivery(TRACKLETS, 0, "1-0", "TrackletsEmbedded", b"", "")


def looks(name: str, noise: float = 0.15, seed: int = 0):
    """A unit vector of a person's looks, a little different at every sight."""
    own = np.random.default_rng(zlib.crc32(name.encode())).normal(size=256)
    sight = np.random.default_rng(seed).normal(size=256)
    vector = own / np.linalg.norm(own) + noise * sight / np.linalg.norm(sight)
    return (vector / np.linalg.norm(vector)).astype("<f2")


def tracklet(n: int, name: str, at_us: int, x: float, quality: float = 0.8, seed: int = 0):
    """Somebody 60 pixels tall who walks 12 pixels between two looks."""
    detections = tuple(
        Detection(
            captured_us=at_us + k * 800_000,
            box=Box(x=x + 12 * k, y=100, width=20, height=60),
        )
        for k in range(4)
    )
    return Tracklet(
        n=n,
        detections=detections,
        crop=f"crops/{name}.jpg",
        quality=quality,
        vector=looks(name, seed=seed).tobytes(),
    )


def short(name: str, x: float, n: int = 0, quality: float = 0.8):
    """Somebody whom the first clip shows in one look, its last."""
    whole = tracklet(n, name, at(0), x, quality)
    return whole.model_copy(update={"detections": whole.detections[-1:]})


def clip(seq: int, *tracklets: Tracklet, camera: str = "gate", outcome=Outcome.DONE):
    start = START + seq * 3_200_000
    return TrackletsEmbedded(
        camera_id=camera,
        born=1,
        epoch=1,
        seq=seq,
        captured_us=(start, start + 3_000_000),
        ready_us=start,
        clip_entry=f"{seq}-1",
        outcome=outcome,
        model="m",
        model_digest=DIGEST,
        tracklets=tracklets,
    )


def at(seq: int) -> int:
    return START + seq * 3_200_000


class Gallery:
    """A writer with all it needs, and what it says."""

    def __init__(self, bus, database, folder) -> None:
        self.bus, self.database, self.folder = bus, database, folder
        health = Health()
        self.spaces = Spaces(
            database,
            lambda digest: FaissGallery(folder, digest),
            health.vital("spaces"),
            shared=False,
        )
        self.relay = Relay(
            database,
            bus,
            SIGHTINGS,
            outbox=OutboxRow,
            origin=OriginRow,
            vital=health.vital("relay"),
        )
        self.writer = GalleryWriter(
            database, self.spaces, OneModelStore(), self.relay, 1, IdentitySettings()
        )
        self.leadership = Leadership(database, LeaseRow, "gallery", health.vital("g"))

    async def lead(self) -> Lease:
        lease = await self.leadership._acquire()
        self.writer.take_over(lease)
        return lease

    async def take(self, *messages: TrackletsEmbedded) -> None:
        for message in messages:
            await self.writer.handle(message, DELIVERY)

    async def said(self) -> list[PersonsSighted]:
        """All outcomes in the outbox, in order."""
        async with self.database.reading() as session:
            rows = list(await session.scalars(select(OutboxRow).order_by(OutboxRow.id)))
        return [PersonsSighted.model_validate(ormsgpack.unpackb(row.body)) for row in rows]

    async def persons(self) -> dict[str, str | None]:
        """Tracklet to person."""
        async with self.database.reading() as session:
            rows = await session.scalars(select(TrackletRow).order_by(TrackletRow.id))
            return {row.name: row.person_id for row in rows}


async def lost_crops(gallery: Gallery) -> list[str | None]:
    """What the next sweep deletes."""
    async with gallery.database.reading() as session:
        return list(await session.scalars(select(ForgottenRow.crop)))


def space(gallery: Gallery, folder) -> Space:
    """What another process has, or this one after it was started again."""
    return Space(gallery.database, FaissGallery(folder, DIGEST))


@pytest.fixture
async def gallery(bus, tmp_path):
    url = f"sqlite+aiosqlite:///{tmp_path}/reid.db"
    await migrate_once(url, MIGRATIONS)
    database = Database(url)
    gallery = Gallery(bus, database, tmp_path / "gallery")
    await gallery.lead()
    yield gallery
    await database.close()


async def test_somebody_who_walks_on_keeps_their_person(gallery):
    await gallery.take(
        clip(0, tracklet(0, "anna", at(0), x=50)),
        clip(1, tracklet(0, "anna", at(1), x=98, seed=1)),
    )
    persons = await gallery.persons()
    assert len(set(persons.values())) == 1
    first, second = await gallery.said()
    assert first.sightings[0].person_id == second.sightings[0].person_id


async def test_somebody_seen_at_another_camera_is_recognised(gallery):
    await gallery.take(
        clip(0, tracklet(0, "anna", at(0), x=50), tracklet(1, "ben", at(0), x=200)),
        clip(5, camera="door"),
    )
    for seq in range(5):
        await gallery.take(clip(seq, camera="door"))
    await gallery.take(clip(6, tracklet(0, "ben", at(6), x=10, seed=4), camera="door"))
    persons = await gallery.persons()
    assert persons["door/1/6/0"] == persons["gate/1/0/1"] != persons["gate/1/0/0"]
    (sighting,) = (await gallery.said())[-1].sightings
    assert sighting.confidence > 0.5


async def test_two_who_look_alike_in_one_picture_are_two(gallery):
    await gallery.take(
        clip(0, tracklet(0, "twin", at(0), x=50), tracklet(1, "twin", at(0), x=200, seed=2))
    )
    assert len(set((await gallery.persons()).values())) == 2


async def test_a_poor_crop_waits_for_a_better_one_of_its_track(gallery):
    await gallery.take(clip(0, tracklet(0, "anna", at(0), x=50, quality=0.05)))
    assert (await gallery.said())[0].sightings == ()
    await gallery.take(clip(1, tracklet(0, "anna", at(1), x=98)))
    persons = await gallery.persons()
    assert len(set(persons.values())) == 1
    assert None not in persons.values()
    told = (await gallery.said())[1].sightings
    assert {sighting.sighting_id for sighting in told} == {"gate/1/0/0", "gate/1/1/0"}


async def test_who_ended_before_they_showed_enough_is_judged_by_what_there_is(gallery):
    """Seen for one look, then the street is empty."""
    await gallery.take(clip(0, short("anna", x=50)), clip(1), clip(2))
    told = [[s.sighting_id for s in outcome.sightings] for outcome in await gallery.said()]
    assert [name for names in told for name in names] == ["gate/1/0/0"]


async def test_who_showed_too_little_and_has_gone_is_nobody(gallery):
    await gallery.take(clip(0, tracklet(0, "anna", at(0), x=50, quality=0.05)), clip(1), clip(2))
    assert all(outcome.sightings == () for outcome in await gallery.said())
    async with gallery.database.reading() as session:
        (row,) = await session.scalars(select(TrackletRow))
    assert (row.person_id, row.how) == (None, How.NOBODY)


async def test_clips_are_taken_in_their_order_whatever_comes_first(gallery):
    later = clip(1, tracklet(0, "anna", at(1), x=98, seed=1))
    await gallery.take(later)
    assert await gallery.persons() == {}
    await gallery.take(clip(0, tracklet(0, "anna", at(0), x=50)))
    assert [outcome.seq for outcome in await gallery.said()] == [0, 1]
    assert len(set((await gallery.persons()).values())) == 1


async def test_a_clip_behind_which_the_gallery_went_on_is_told_and_its_people_are_known(
    gallery, monkeypatch
):
    await gallery.take(clip(1, tracklet(0, "anna", at(1), x=98, seed=1)))
    monkeypatch.setattr("shared.folding.GAP_WAIT_S", 0.0)
    await gallery.writer.skip_gaps()
    late = clip(0, tracklet(0, "anna", at(0), x=50))
    await gallery.take(late, late)
    assert [outcome.seq for outcome in await gallery.said()] == [1, 0]
    persons = await gallery.persons()
    assert persons["gate/1/0/0"] == persons["gate/1/1/0"] is not None


async def test_a_redelivery_adds_nobody(gallery):
    message = clip(0, tracklet(0, "anna", at(0), x=50))
    await gallery.take(message, message, message)
    assert len(await gallery.persons()) == 1
    assert len(await gallery.said()) == 1


async def test_what_was_shed_or_died_is_passed_on_so_that_accounts_come_out_even(gallery):
    await gallery.take(
        clip(0, outcome=Outcome.SHED),
        clip(1, outcome=Outcome.DEAD),
        clip(2, outcome=Outcome.EXPIRED),
    )
    assert [o.outcome for o in await gallery.said()] == [
        Outcome.SHED,
        Outcome.DEAD,
        Outcome.EXPIRED,
    ]


async def test_vectors_of_another_model_are_never_compared(gallery):
    await gallery.take(clip(0, tracklet(0, "anna", at(0), x=50)))
    other = clip(1, tracklet(0, "anna", at(1), x=98)).model_copy(update={"model_digest": "e" * 64})
    await gallery.take(other)
    assert len(set((await gallery.persons()).values())) == 2


async def test_nor_are_they_within_one_transaction(gallery):
    later = clip(1, tracklet(0, "anna", at(1), x=98)).model_copy(update={"model_digest": "e" * 64})
    await gallery.take(later, clip(0, tracklet(0, "anna", at(0), x=50)))
    persons = await gallery.persons()
    assert None not in persons.values()
    assert len(set(persons.values())) == 2


@pytest.mark.parametrize(
    "vector",
    [b"", b"\0" * 100, b"\0" * 101, b"\0" * 512, b"\xff" * 512],
    ids=["none", "short", "odd", "zero", "nan"],
)
async def test_a_tracklet_whose_vector_is_none_costs_nobody_else_of_its_clip(gallery, vector):
    bad = tracklet(0, "anna", at(0), x=50).model_copy(update={"vector": vector})
    await gallery.take(clip(0, bad, tracklet(1, "ben", at(0), x=200)))
    assert list(await gallery.persons()) == ["gate/1/0/1"]
    (outcome,) = await gallery.said()
    assert outcome.outcome is Outcome.DONE
    assert [sighting.sighting_id for sighting in outcome.sightings] == ["gate/1/0/1"]
    assert await lost_crops(gallery) == ["crops/anna.jpg"]


async def test_tracklets_of_a_model_that_nobody_knows_are_not_taken(gallery, tmp_path):
    """The consumer tries again, and buries them: told as dead, and their crops are to go."""
    gallery.writer._registrar._store = ModelStore(tmp_path / "no models")
    message = clip(0, tracklet(0, "anna", at(0), x=50))
    with pytest.raises(Missing) as refused:
        await gallery.take(message)
    assert refused.value.code == "unknown_model"
    assert await gallery.persons() == {}
    await gallery.writer.bury(message, DELIVERY, "unknown model")
    assert [outcome.outcome for outcome in await gallery.said()] == [Outcome.DEAD]
    assert await lost_crops(gallery) == ["crops/anna.jpg"]


async def test_who_is_buried_after_they_were_taken_keeps_their_crops(gallery):
    message = clip(0, tracklet(0, "anna", at(0), x=50))
    await gallery.take(message)
    await gallery.writer.bury(message, DELIVERY, "the index was away when the tables were not")
    assert [outcome.outcome for outcome in await gallery.said()] == [Outcome.DONE]
    assert await lost_crops(gallery) == []


async def test_a_vector_that_was_damaged_in_the_tables_is_left_out_and_told(gallery, tmp_path):
    await gallery.take(clip(0, tracklet(0, "anna", at(0), x=50), tracklet(1, "ben", at(0), x=200)))
    async with gallery.database.writing() as session:
        rows = list(await session.scalars(select(TrackletRow).order_by(TrackletRow.id)))
        rows[0].vector = rows[0].vector[:100]
    reader = space(gallery, tmp_path / "reader")
    await reader.load()
    assert await reader.gallery.count() == 1


async def test_a_paused_writer_cannot_write_when_it_wakes(gallery, tmp_path):
    await gallery.take(clip(0, tracklet(0, "anna", at(0), x=50)))
    async with gallery.database.writing() as session:
        row = await session.get(LeaseRow, "gallery")
        row.expires_us = 0
    second = Gallery(gallery.bus, gallery.database, tmp_path / "other")
    second.leadership.holder = "somebody else"
    await second.lead()
    with pytest.raises(LeaseLost):
        await gallery.take(clip(1, tracklet(0, "ben", at(1), x=200)))
    assert len(await gallery.persons()) == 1
    await second.take(clip(1, tracklet(0, "ben", at(1), x=200)))
    assert len(await gallery.persons()) == 2


async def test_every_process_s_index_follows_the_tables(gallery, tmp_path):
    reader = space(gallery, tmp_path / "reader")
    await reader.load()
    await gallery.take(clip(0, tracklet(0, "anna", at(0), x=50), tracklet(1, "ben", at(0), x=200)))
    await reader.follow()
    assert (await reader.gallery.count(), await reader.gallery.persons()) == (2, 2)
    (hit, _) = (await reader.search(looks("ben").astype(np.float32), 2)).hits
    assert hit.person_id == (await gallery.persons())["gate/1/0/1"]


@pytest.mark.parametrize("page", [1, 2, 3, 5, 6])
async def test_an_index_is_rebuilt_page_by_page(gallery, tmp_path, monkeypatch, page):
    names = ["anna", "ben", "carl", "dora", "emil"]
    for n, name in enumerate(names):
        await gallery.take(clip(n, tracklet(0, name, at(n), x=50 + 10 * n)))
    monkeypatch.setattr("services.reid.gallery.space.PAGE", page)
    reader = space(gallery, tmp_path / "reader")
    await reader.load()
    async with gallery.database.reading() as session:
        assert reader.gallery.revision == await newest_revision(session)
    found = [(await reader.search(looks(name).astype(np.float32), 1)).hits[0] for name in names]
    persons = await gallery.persons()
    assert [hit.person_id for hit in found] == [persons[f"gate/1/{n}/0"] for n in range(5)]


async def test_a_start_loads_the_snapshot_and_then_what_came_after(gallery, tmp_path):
    await gallery.take(clip(0, tracklet(0, "anna", at(0), x=50)))
    first = space(gallery, tmp_path / "shelf")
    await first.load()
    await first.gallery.save()
    await gallery.take(clip(1, tracklet(0, "ben", at(1), x=200)))
    again = space(gallery, tmp_path / "shelf")
    await again.load()
    assert (again.gallery.source, await again.gallery.count()) == ("snapshot", 2)


async def test_a_corrupt_snapshot_is_refused_and_the_tables_tell_all(gallery, tmp_path):
    await gallery.take(clip(0, tracklet(0, "anna", at(0), x=50), tracklet(1, "ben", at(0), x=200)))
    first = space(gallery, tmp_path / "shelf")
    await first.load()
    await first.gallery.save()
    (file,) = (tmp_path / "shelf").iterdir()
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 0x10
    file.write_bytes(raw)
    again = space(gallery, tmp_path / "shelf")
    await again.load()
    assert (again.gallery.source, await again.gallery.count()) == ("tables", 2)


async def test_a_snapshot_that_is_ahead_of_a_restored_database_is_refused(gallery, tmp_path):
    await gallery.take(clip(0, tracklet(0, "anna", at(0), x=50)))
    first = space(gallery, tmp_path / "shelf")
    await first.load()
    await first.gallery.save()
    async with gallery.database.writing() as session:
        for row in await session.scalars(select(TrackletRow)):
            await session.delete(row)
    again = space(gallery, tmp_path / "shelf")
    await again.load()
    assert (again.gallery.source, await again.gallery.count()) == ("tables", 0)


async def test_sightings_go_out_in_order_and_once(gallery):
    for seq in range(5):
        await gallery.take(clip(seq, tracklet(0, "anna", at(seq), x=50 + 48 * seq, seed=seq)))
    lease = await Leadership(gallery.database, LeaseRow, "relay", Health().vital("r"))._acquire()
    while await gallery.relay.relay_once(lease, limit=2):
        await asyncio.sleep(0)
    found = await gallery.bus.redis.xrange(SIGHTINGS.key(0))
    assert [PersonsSighted.unpack(fields[b"body"]).seq for _, fields in found] == list(range(5))


async def test_somebody_in_two_views_at_once_is_one_person_in_both(gallery):
    for n, name in enumerate(("anna", "ben", "carl", "dora")):
        await gallery.take(
            clip(n, tracklet(0, name, at(n), x=50)),
            clip(n, tracklet(0, name, at(n), x=150, seed=n + 1), camera="square"),
        )
    # What is doubtful is looked at for longer: until everybody has gone.
    for seq in (4, 5):
        await gallery.take(clip(seq), clip(seq, camera="square"))
    persons = await gallery.persons()
    for n in range(4):
        assert persons[f"gate/1/{n}/0"] == persons[f"square/1/{n}/0"] is not None
    assert len(set(persons.values())) == 4


async def test_a_doubtful_track_that_goes_on_waits_and_then_is_judged(gallery):
    await gallery.take(clip(0, tracklet(0, "anna", at(0), x=50)))
    faint = tracklet(0, "anna", at(0), x=150).model_copy(
        update={"vector": (0.5 * looks("anna") + 0.85 * looks("mist")).astype("<f2").tobytes()}
    )
    await gallery.take(clip(0, faint, camera="square"))
    assert (await gallery.persons())["square/1/0/0"] is None
    await gallery.take(clip(1, camera="square"), clip(2, camera="square"))
    assert (await gallery.persons())["square/1/0/0"] is not None


async def test_a_start_learns_the_camera_graph_again_from_the_tables(gallery, tmp_path):
    for n in range(6):
        await gallery.take(
            clip(n, tracklet(0, f"walker {n}", at(n), x=50)),
            clip(
                n,
                *() if n == 0 else [tracklet(0, f"walker {n - 1}", at(n), x=150, seed=9)],
                camera="door",
            ),
        )
    learnt = gallery.writer._registrar._graph.travel_times("gate", "door")
    async with gallery.database.reading() as session:
        graph = await graph_of(session, GraphSettings(), before=10_000)
    assert max(learnt, key=learnt.get) == 2.0
    assert graph.travel_times("gate", "door") == {2.0: pytest.approx(learnt[2.0], rel=0.2)}
    assert graph.known == 6


async def test_a_start_counts_a_track_of_many_tracklets_once(gallery):
    """They walk side by side, so that their tracklets interleave, and are judged at the third."""
    for n in range(3):
        for k in range(3):
            seq = 4 * n + k
            pair = [
                tracklet(
                    m, f"{n} {m}", at(seq), x=50 + 150 * m + 48 * k, quality=(0.05, 0.05, 0.8)[k]
                )
                for m in range(2)
            ]
            await gallery.take(clip(seq, *pair))
        await gallery.take(clip(4 * n + 3))
    assert len(set((await gallery.persons()).values())) == 6
    live = gallery.writer._registrar._graph
    async with gallery.database.reading() as session:
        graph = await graph_of(session, GraphSettings(), before=10_000)
    assert graph.known == live.known == 6
    assert graph._nobody["gate"].could == live._nobody["gate"].could


async def test_the_last_people_of_footage_that_ends_are_judged_when_it_is_silent(gallery):
    await gallery.take(clip(0, short("anna", x=50), short("mist", x=200, n=1, quality=0.05)))
    assert await gallery.persons() == {"gate/1/0/0": None, "gate/1/0/1": None}
    await gallery.writer.judge_silent(now_us() + SECOND)
    assert set((await gallery.persons()).values()) == {None}, "it may go on yet"
    await gallery.writer.judge_silent(now_us() + 21 * SECOND)
    await gallery.writer.judge_silent(now_us() + 99 * SECOND)
    persons = await gallery.persons()
    assert persons["gate/1/0/0"] is not None
    async with gallery.database.reading() as session:
        hows = await session.scalars(select(TrackletRow.how).order_by(TrackletRow.id))
        assert list(hows) == [How.NEW, How.NOBODY]
        (_, told) = await session.scalars(select(OutboxRow).order_by(OutboxRow.id))
    (sighting,) = PersonsRevised.unpack(told.body).sightings
    assert (sighting.sighting_id, sighting.person_id) == ("gate/1/0/0", persons["gate/1/0/0"])
    await gallery.take(clip(1, tracklet(0, "anna", at(1), x=98)))
    assert (await gallery.persons())["gate/1/1/0"] == persons["gate/1/0/0"], "they go on after all"


async def test_a_silent_camera_waits_for_a_model_that_is_not_in_the_store(gallery, tmp_path):
    await gallery.take(clip(0, short("anna", x=50)))
    gallery.writer._registrar._store = ModelStore(tmp_path / "no models")
    await gallery.writer.judge_silent(now_us() + 21 * SECOND)
    assert set((await gallery.persons()).values()) == {None}


async def test_what_was_learnt_in_a_transaction_that_failed_is_forgotten(gallery):
    await gallery.take(clip(0, tracklet(0, "anna", at(0), x=50)))
    assert gallery.writer._registrar._graph is not None
    async with gallery.database.writing() as session:
        (await session.get(LeaseRow, "gallery")).epoch += 1
    with pytest.raises(LeaseLost):
        await gallery.take(clip(1, tracklet(0, "ben", at(1), x=200)))
    assert gallery.writer._registrar._graph is None
