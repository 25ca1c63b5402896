"""A user's word on who is who -> tables, history, and what the gateway hears; and back again."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select

from services.reid.gallery import changes
from services.reid.gallery.announcing import Herald
from services.reid.gallery.forgetting import Erasure, Forgetting
from services.reid.gallery.regrouping import Deed, Regrouping
from services.reid.gallery.schema import MIGRATIONS
from services.reid.gallery.tables import (
    How,
    OutboxRow,
    PersonMoveRow,
    TrackletRow,
)
from shared.blobs import FolderBlobs
from shared.database import Database, migrate_once
from shared.errors import CityBrainError, Conflict, Denied, Missing, Stale
from shared.messages import PersonsRevised, PersonsSighted
from tests.unit.reid.test_gallery_writer import Gallery, at, clip, gallery, looks, space, tracklet

__all__ = ["gallery"]

ANNA = "gate/1/0/0"
BEN = "gate/1/0/1"
DEED = Deed("user", "they are one")


@pytest.fixture
def regrouping(gallery):
    return Regrouping(gallery.database, Herald(1))


@pytest.fixture
def forgetting(gallery, tmp_path):
    return Forgetting(gallery.database, FolderBlobs(tmp_path / "blobs"), Herald(1))


@pytest.fixture
async def people(gallery):
    """Anna and Ben walk by the gate; their persons by name."""
    await gallery.take(clip(0, tracklet(0, "anna", at(0), x=50), tracklet(1, "ben", at(0), x=200)))
    persons = await gallery.persons()
    return {"anna": persons[ANNA], "ben": persons[BEN]}


async def ben_at_the_door(gallery) -> None:
    """He is seen there, and gone again."""
    for seq in range(6):
        await gallery.take(clip(seq, camera="door"))
    ben = tracklet(0, "ben", at(6), x=10, seed=4)
    await gallery.take(clip(6, ben, camera="door"), clip(7, camera="door"), clip(8, camera="door"))


async def rows(gallery) -> dict[str, tuple[str | None, str, float]]:
    """Person, how and confidence of every tracklet."""
    async with gallery.database.reading() as session:
        found = await session.scalars(select(TrackletRow).order_by(TrackletRow.id))
        return {row.name: (row.person_id, row.how, row.confidence) for row in found}


async def revised(gallery) -> list[PersonsRevised]:
    """What was told of changes, in order."""
    query = select(OutboxRow).where(OutboxRow.type == "PersonsRevised").order_by(OutboxRow.id)
    async with gallery.database.reading() as session:
        return [PersonsRevised.unpack(row.body) for row in await session.scalars(query)]


async def history(gallery, person: str, cameras=None):
    async with gallery.database.reading() as session:
        return await changes.page(session, person, 100, None, cameras)


async def test_who_is_merged_away_is_the_other_in_tables_index_and_word(
    gallery, people, regrouping, tmp_path
):
    reader = space(gallery, tmp_path / "reader")
    await reader.load()
    change = await regrouping.merge(people["anna"], {people["ben"]}, DEED)
    assert set((await gallery.persons()).values()) == {people["anna"]}
    await reader.follow()
    hits = (await reader.search(looks("ben").astype("f4"), 5)).hits
    assert {hit.person_id for hit in hits} == {people["anna"]}
    assert await reader.gallery.persons() == 1
    (told,) = await revised(gallery)
    assert told.merged == {people["ben"]: people["anna"]}
    (sighting,) = told.sightings
    assert (sighting.sighting_id, sighting.person_id) == (BEN, people["anna"])
    assert (told.camera_id, sighting.revision, sighting.confirmed) == ("gate", told.revision, False)
    assert change.revision == told.revision


async def test_an_undone_merge_leaves_everything_as_it_was_and_the_history_says_so(
    gallery, people, regrouping
):
    before = await rows(gallery)
    change = await regrouping.merge(people["anna"], {people["ben"]}, DEED)
    await regrouping.undo(change.id, Deed("other", "they are not"))
    assert await rows(gallery) == before
    last = (await revised(gallery))[-1]
    assert (last.unmerged, last.sightings[0].person_id) == ((people["ben"],), people["ben"])
    assert last.revision > change.revision
    for person in people.values():
        (told,) = await history(gallery, person)
        assert (told.kind, told.person_id, told.from_person_ids) == (
            "merge",
            people["anna"],
            [people["ben"]],
        )
        assert (told.actor, told.purpose, told.sightings) == ("user", "they are one", 1)
        assert (told.undone_by, told.undone_purpose) == ("other", "they are not")
        assert told.at <= told.undone_at


async def test_undoing_twice_changes_nothing_more(gallery, people, regrouping):
    change = await regrouping.merge(people["anna"], {people["ben"]}, DEED)
    await regrouping.undo(change.id, Deed("first", "they are not"))
    again = await regrouping.undo(change.id, Deed("second", "they are not"))
    assert again.undone_by == "first"
    assert len(await revised(gallery)) == 2


async def test_who_comes_after_a_merge_is_the_survivor_and_a_redelivery_brings_nobody_back(
    gallery, people, regrouping
):
    await regrouping.merge(people["anna"], {people["ben"]}, DEED)
    both = clip(0, tracklet(0, "anna", at(0), x=50), tracklet(1, "ben", at(0), x=200))
    await gallery.take(both, clip(1, tracklet(0, "ben", at(1), x=248, seed=1)))
    await ben_at_the_door(gallery)
    persons = await gallery.persons()
    assert persons["gate/1/1/0"] == persons["door/1/6/0"] == people["anna"]
    assert people["ben"] not in persons.values()


async def test_the_writer_remembers_nobodys_ways_whom_a_user_has_merged_away_or_forgotten(
    gallery, people, regrouping, forgetting
):
    def remembered():
        return set(gallery.writer._registrar._graph._last)

    assert remembered() == set(people.values())
    await regrouping.merge(people["anna"], {people["ben"]}, DEED)
    await gallery.take(clip(1, tracklet(0, "carl", at(1), x=400)))
    carl = (await gallery.persons())["gate/1/1/0"]
    assert remembered() == {people["anna"], carl}
    await forgetting.forget_person(people["anna"], None)
    await gallery.take(clip(2, tracklet(0, "dora", at(2), x=600)))
    assert people["anna"] not in remembered()


async def test_what_has_continued_a_moved_track_goes_back_with_it_and_others_stay(
    gallery, people, regrouping
):
    change = await regrouping.merge(people["anna"], {people["ben"]}, DEED)
    await gallery.take(clip(1, tracklet(0, "ben", at(1), x=248, seed=1)))
    await ben_at_the_door(gallery)
    await regrouping.undo(change.id, DEED)
    persons = await gallery.persons()
    assert persons["gate/1/1/0"] == persons[BEN] == people["ben"]
    assert persons["door/1/6/0"] == people["anna"], "recognised since: nobody moved it"
    async with gallery.database.reading() as session:
        moves = await changes.moved(session, change.id, 100, None, None)
    assert [(move.sighting_id, move.from_person_id) for move in moves] == [
        (BEN, people["ben"]),
        ("gate/1/1/0", people["ben"]),
    ]


async def test_what_a_re_index_has_numbered_anew_was_there_before_and_stays(
    gallery, people, regrouping
):
    """Anna's third tracklet was taken for Ben's, who then was found to be her, which he is not."""
    for seq in (1, 2):
        await gallery.take(clip(seq, tracklet(0, "anna", at(seq), x=50 + 48 * seq, seed=seq)))
    await regrouping.split(people["anna"], {"gate/1/2/0"}, people["ben"], DEED)
    before = await gallery.persons()
    change = await regrouping.merge(people["anna"], {people["ben"]}, DEED)
    async with gallery.database.writing() as session:
        second = await session.scalar(select(TrackletRow).where(TrackletRow.name == "gate/1/1/0"))
        assert second.how == How.CONTINUED
        second.revision = change.revision + 1
    await gallery.take(clip(3, tracklet(0, "anna", at(3), x=194, seed=3)))
    await regrouping.undo(change.id, DEED)
    after = await gallery.persons()
    assert {name: after[name] for name in before} == before
    assert after["gate/1/3/0"] == people["ben"], "it continues what the change had moved"


async def test_split_off_sightings_are_somebody_new_who_is_known_from_then_on(
    gallery, people, regrouping
):
    await gallery.take(clip(1, tracklet(0, "anna", at(1), x=98, seed=1)))
    before = await rows(gallery)
    assert before["gate/1/1/0"][0] == people["anna"]
    change = await regrouping.split(people["anna"], {"gate/1/1/0"}, None, DEED)
    after = await rows(gallery)
    assert after["gate/1/1/0"] == (change.to_person, How.TOLD, 1.0)
    assert change.to_person not in people.values()
    assert after[ANNA] == before[ANNA]
    await gallery.take(clip(2, tracklet(0, "anna", at(2), x=146, seed=2)))
    assert (await rows(gallery))["gate/1/2/0"][0] == change.to_person, "the track goes on"
    (told,) = await revised(gallery)
    assert (told.sightings[0].confirmed, told.sightings[0].confidence) == (True, 1.0)
    await regrouping.undo(change.id, DEED)
    restored = await rows(gallery)
    assert {name: restored[name] for name in before} == before
    assert restored["gate/1/2/0"][0] == people["anna"]


async def test_split_off_sightings_may_be_somebody_known(gallery, people, regrouping):
    await gallery.take(clip(1, tracklet(0, "anna", at(1), x=98, seed=1)))
    change = await regrouping.split(people["anna"], {ANNA}, people["ben"], DEED)
    assert (await gallery.persons())[ANNA] == change.to_person == people["ben"]
    (told,) = await history(gallery, people["ben"])
    assert (told.person_id, told.from_person_ids) == (people["ben"], [people["anna"]])


async def test_a_confirmed_sighting_is_sure_until_that_is_taken_back(gallery, people, regrouping):
    before = await rows(gallery)
    change = await regrouping.confirm(people["anna"], {ANNA}, DEED)
    assert (await rows(gallery))[ANNA] == (people["anna"], How.TOLD, 1.0)
    await regrouping.undo(change.id, DEED)
    assert await rows(gallery) == before


async def test_the_forgotten_stay_forgotten_when_a_change_is_undone(
    gallery, people, regrouping, forgetting
):
    change = await regrouping.merge(people["anna"], {people["ben"]}, DEED)
    assert await forgetting.forget_person(people["anna"], None) == 2
    # SQLite gives these ids again.
    await gallery.take(clip(1, tracklet(0, "carl", at(1), x=400)))
    carl = await gallery.persons()
    undone = await regrouping.undo(change.id, DEED)
    assert await gallery.persons() == carl
    assert undone.undone_by == "user"
    told = await revised(gallery)
    assert set(told[1].forgotten) == {ANNA, BEN}
    assert (told[2].unmerged, told[2].sightings) == ((people["ben"],), ())
    assert told[0].revision < told[1].revision < told[2].revision
    async with gallery.database.reading() as session:
        assert list(await session.scalars(select(PersonMoveRow))) == []
    (kept,) = await history(gallery, people["ben"])
    assert kept.sightings == 1, "who said what is answered for, whoever was forgotten"


async def test_a_change_that_others_rest_on_is_undone_after_them(gallery, people, regrouping):
    await gallery.take(clip(1, tracklet(0, "carl", at(1), x=400)))
    carl = (await gallery.persons())["gate/1/1/0"]
    first = await regrouping.merge(people["anna"], {people["ben"]}, DEED)
    second = await regrouping.merge(carl, {people["anna"]}, DEED)
    with pytest.raises(Conflict, match=second.id) as refused:
        await regrouping.undo(first.id, DEED)
    assert refused.value.code == "changed_since"
    await regrouping.undo(second.id, DEED)
    await regrouping.undo(first.id, DEED)
    assert (await gallery.persons())[BEN] == people["ben"]


async def test_nothing_goes_back_to_somebody_who_was_merged_away_since(gallery, people, regrouping):
    await gallery.take(clip(1, tracklet(0, "anna", at(1), x=98, seed=1)))
    split = await regrouping.split(people["anna"], {ANNA}, None, DEED)
    merge = await regrouping.merge(people["ben"], {people["anna"]}, DEED)
    with pytest.raises(Conflict, match=merge.id):
        await regrouping.undo(split.id, DEED)


async def test_what_cannot_be_is_refused_by_its_name(gallery, people, regrouping):
    anna, ben = people["anna"], people["ben"]
    await regrouping.merge(anna, {ben}, DEED)
    refusals = {
        "same_person": regrouping.merge(anna, {anna}, DEED),
        "unknown_person": regrouping.merge(anna, {"nobody"}, DEED),
        "person_merged": regrouping.merge(ben, {anna}, DEED),
        "unknown_sighting": regrouping.split(anna, {"gate/9/9/9"}, None, DEED),
        "nothing_left": regrouping.split(anna, {ANNA, BEN}, None, DEED),
        "unknown_change": regrouping.undo("nothing", DEED),
    }
    for code, attempt in refusals.items():
        with pytest.raises(CityBrainError) as refused:
            await attempt
        assert refused.value.code == code
    assert len(await revised(gallery)) == 1, "the one merge"


async def test_the_same_key_makes_the_same_change_and_no_other(gallery, people, regrouping):
    deed = Deed("user", "they are one", key="k")
    first = await regrouping.merge(people["anna"], {people["ben"]}, deed)
    again = await regrouping.merge(people["anna"], {people["ben"]}, deed)
    assert again.id == first.id
    assert len(await revised(gallery)) == 1
    with pytest.raises(Conflict) as refused:
        await regrouping.confirm(people["anna"], {ANNA}, deed)
    assert refused.value.code == "key_reused"


async def test_who_has_read_an_older_version_of_the_person_changes_nothing(
    gallery, people, regrouping
):
    async with gallery.database.reading() as session:
        version = await changes.version_of(session, people["anna"])
    change = await regrouping.confirm(people["anna"], {ANNA}, Deed("a", "sure", version=version))
    with pytest.raises(Stale):
        await regrouping.merge(people["anna"], {people["ben"]}, Deed("b", "one", version=version))
    with pytest.raises(Stale):
        await regrouping.undo(change.id, Deed("b", "no", version=version))
    await regrouping.undo(change.id, Deed("b", "no", version=version + 1))
    with pytest.raises(Stale):
        await regrouping.confirm(people["anna"], {ANNA}, Deed("b", "one", version=version + 1))


async def test_who_sees_some_cameras_moves_and_undoes_nothing_of_others(
    gallery, people, regrouping, forgetting
):
    await ben_at_the_door(gallery)
    assert (await gallery.persons())["door/1/6/0"] == people["ben"]
    gate, door, roof = (Deed("user", "one", cameras={name}) for name in ("gate", "door", "roof"))
    with pytest.raises(Denied):
        await regrouping.merge(people["anna"], {people["ben"]}, gate)
    with pytest.raises(Missing):
        await regrouping.merge(people["anna"], {people["ben"]}, door)
    with pytest.raises(Missing):
        await regrouping.split(people["ben"], {BEN}, None, door)
    with pytest.raises(Denied):
        await forgetting.forget_person(people["ben"], {"gate"})
    assert (
        people["ben"] == (await gallery.persons())[BEN] == (await gallery.persons())["door/1/6/0"]
    )
    change = await regrouping.merge(people["anna"], {people["ben"]}, DEED)
    with pytest.raises(Denied):
        await regrouping.undo(change.id, door)
    with pytest.raises(Missing):
        await regrouping.undo(change.id, roof)
    assert len(await history(gallery, people["ben"], {"door"})) == 1
    with pytest.raises(Missing):
        await history(gallery, people["ben"], {"roof"})


async def fold_and_regroup(gallery) -> None:
    """The writer sees Ben again and again, at two cameras, while another process says who he is."""
    await gallery.take(
        clip(0, tracklet(0, "anna", at(0), x=50), tracklet(1, "ben", at(0), x=200)),
        clip(0, camera="door"),
    )
    persons = await gallery.persons()
    anna, ben = persons[ANNA], persons[BEN]
    other = Database(gallery.database.url)
    twin = Regrouping(other, Herald(1))

    async def fold() -> None:
        for seq in range(1, 9):
            await gallery.take(
                clip(seq, tracklet(0, "ben", at(seq), x=200 + 48 * seq, seed=seq)),
                clip(seq, tracklet(0, "ben", at(seq), x=10, seed=20 + seq), camera="door"),
            )

    async def regroup() -> None:
        for _ in range(3):
            change = await twin.merge(anna, {ben}, DEED)
            await asyncio.sleep(0.02)
            await twin.undo(change.id, DEED)
        await twin.merge(anna, {ben}, DEED)

    await asyncio.gather(fold(), regroup())
    await other.close()
    persons = await gallery.persons()
    assert len(persons) == 18
    assert set(persons.values()) == {anna}
    async with gallery.database.reading() as session:
        revisions = list(await session.scalars(select(TrackletRow.revision)))
    assert len(revisions) == len(set(revisions))


async def test_a_merge_while_the_writer_folds_loses_nobody_and_gives_every_change_its_number(
    gallery,
):
    await fold_and_regroup(gallery)


@pytest.mark.postgres
async def test_on_postgresql_a_merge_while_the_writer_folds_loses_nobody(
    bus, postgres_database, tmp_path
):
    await migrate_once(postgres_database, MIGRATIONS)
    database = Database(postgres_database)
    gallery = Gallery(bus, database, tmp_path)
    await gallery.lead()
    await fold_and_regroup(gallery)
    await database.close()


async def test_whoever_hears_everything_in_any_order_ends_as_the_tables_do(
    gallery, people, regrouping, forgetting
):
    await gallery.take(clip(1, tracklet(0, "anna", at(1), x=98, seed=1)))
    merge = await regrouping.merge(people["anna"], {people["ben"]}, DEED)
    await regrouping.confirm(people["anna"], {ANNA}, DEED)
    await regrouping.undo(merge.id, DEED)
    await regrouping.split(people["anna"], {"gate/1/1/0"}, people["ben"], DEED)
    await forgetting.forget(Erasure(before_us=at(1)))
    known: dict[str, tuple[int, str]] = {}
    async with gallery.database.reading() as session:
        told = list(await session.scalars(select(OutboxRow).order_by(OutboxRow.id.desc())))
    gone = set()
    for row in told:
        form = PersonsRevised if row.type == "PersonsRevised" else PersonsSighted
        message = form.unpack(row.body)
        gone |= set(getattr(message, "forgotten", ()))
        for sighting in message.sightings:
            now = (sighting.revision, sighting.person_id)
            known[sighting.sighting_id] = max(known.get(sighting.sighting_id, (-1, "")), now)
    heard = {name: person for name, (_, person) in known.items() if name not in gone}
    assert heard == await gallery.persons() != {}
