"""What the gallery says anew -> sightings and persons at the gateway, whatever comes first."""

from __future__ import annotations

import itertools

import pytest
from sqlalchemy import delete, select

from services.gateway.composer.people import PeopleComposer
from services.gateway.store.people_tables import (
    ForgottenSightingRow,
    MergedPersonRow,
    PeopleOutcomeRow,
    SightingRow,
)
from services.gateway.store.tables import OutboxRow
from shared.bus import Delivery
from shared.messages import (
    Box,
    Detection,
    EventRaised,
    Outcome,
    PersonsRevised,
    PersonsSighted,
    Sighting,
)
from shared.topics import EVENTS, SIGHTINGS
from tests.unit.gateway.test_frames_api import picture

ANNA, BEN, CARL = (name * 26 for name in "ABC")
START = 1_700_000_000_000_000
DELIVERY = Delivery(SIGHTINGS, 0, "1-0", "", b"", "")


def sighting(n: int, person: str, revision: int = 0, **changes) -> Sighting:
    at = START + n * 1_000_000
    detection = Detection(captured_us=at, box=Box(x=1, y=1, width=9, height=20))
    values = {
        "sighting_id": f"gate/1/{n}/0",
        "person_id": person,
        "confidence": 0.8,
        "detections": (detection,),
        "crop": f"crops/gate/{n}.jpg",
        "quality": 0.5 + n / 100,
        "revision": revision,
    }
    return Sighting(**(values | changes))


def sighted(n: int, person: str, camera: str = "gate") -> PersonsSighted:
    return PersonsSighted(
        camera_id=camera,
        born=1,
        epoch=1,
        seq=n,
        captured_us=(START,),
        ready_us=START,
        clip_entry="1-0",
        outcome=Outcome.DONE,
        sightings=(sighting(n, person),),
    )


@pytest.fixture
async def hear(gateway):
    """Takes in messages one after the other, as the consumer hands them out."""
    await gateway.add_camera("gate")
    composer = PeopleComposer(gateway.city.database, gateway.city.relay)

    async def hear(*messages) -> None:
        for message in messages:
            await composer.handle(message, DELIVERY)

    return hear


async def persons_of(gateway) -> dict[str, str]:
    found = (await gateway.api.get("/v1/sightings")).json()["items"]
    return {item["id"]: item["person_id"] for item in found}


async def events_of(gateway) -> list[EventRaised]:
    """Those that wait to be published, and those that were."""
    async with gateway.city.database.reading() as session:
        waiting = [row.body for row in await session.scalars(select(OutboxRow))]
    entries = await gateway.city.bus.redis.xrange(EVENTS.key())
    published = [fields[b"body"] for _, fields in entries]
    return [EventRaised.unpack(body) for body in {*waiting, *published}]


FIRST = sighted(0, ANNA), sighted(1, BEN), sighted(2, BEN)
MERGED = PersonsRevised(
    revision=12,
    camera_id="gate",
    sightings=(sighting(1, ANNA, 11), sighting(2, ANNA, 12)),
    merged={BEN: ANNA},
)
CONFIRMED = PersonsRevised(
    revision=13, camera_id="gate", sightings=(sighting(1, ANNA, 13, confirmed=True, confidence=1),)
)
FORGOTTEN = PersonsRevised(revision=14, camera_id="gate", forgotten=("gate/1/2/0",))


async def test_in_whatever_order_it_is_told_the_end_is_the_same(gateway, hear):
    told = [FIRST, (MERGED,), (CONFIRMED,), (FORGOTTEN,)]
    for order in itertools.permutations(told):
        await hear(*itertools.chain(*order))
        assert await persons_of(gateway) == {"gate/1/0/0": ANNA, "gate/1/1/0": ANNA}
        found = (await gateway.api.get(f"/v1/persons/{BEN}/sightings")).json()["items"]
        assert [(item["id"], item["confirmed"], item["confidence"]) for item in found] == [
            ("gate/1/1/0", True, 1.0),
            ("gate/1/0/0", False, 0.8),
        ]
        async with gateway.city.database.writing() as session:
            for table in (SightingRow, ForgottenSightingRow, MergedPersonRow, PeopleOutcomeRow):
                await session.execute(delete(table))


async def test_told_twice_it_changes_nothing_more_and_is_news_once(gateway, hear):
    await hear(*FIRST, MERGED, *FIRST, MERGED, MERGED)
    assert set((await persons_of(gateway)).values()) == {ANNA}
    events = await events_of(gateway)
    types = [event.type for event in events]
    assert (types.count("person.sighted"), types.count("person.revised")) == (3, 1)
    (revised,) = (event for event in events if event.type == "person.revised")
    assert revised.camera_id == "gate"
    assert revised.data == {"person_ids": [ANNA, BEN], "merged": {BEN: ANNA}}


async def test_an_old_id_leads_to_the_survivor_through_every_merge_until_it_is_undone(
    gateway, hear
):
    again = PersonsRevised(
        revision=20,
        camera_id="gate",
        sightings=tuple(sighting(n, CARL, 17 + n) for n in range(3)),
        merged={ANNA: CARL},
    )
    await hear(*FIRST, MERGED, again)
    way = (await gateway.api.get(f"/v1/persons/{BEN}/trajectory")).json()
    assert (way["person_id"], way["merged_into"]) == (BEN, CARL)
    assert [stay["sightings"] for stay in way["stays"]] == [3]
    person = (await gateway.api.get(f"/v1/persons/{BEN}")).json()
    assert (person["merged_into"], person["sightings"]) == (CARL, 3)
    assert person["cameras"] == ["gate"]
    assert person["crop"] == "/v1/blobs/crops/gate/2.jpg"
    undone = PersonsRevised(
        revision=22,
        camera_id="gate",
        sightings=(sighting(1, BEN, 21), sighting(2, BEN, 22)),
        unmerged=(BEN,),
    )
    await hear(undone, MERGED)
    person = (await gateway.api.get(f"/v1/persons/{BEN}")).json()
    assert (person["merged_into"], person["sightings"]) == (None, 2)


async def test_nobody_is_known_whose_sightings_are_all_forgotten(gateway, hear):
    gone = tuple(f"gate/1/{n}/0" for n in range(3))
    await hear(*FIRST, PersonsRevised(revision=9, camera_id="gate", forgotten=gone), *FIRST)
    for person in (ANNA, BEN):
        answer = await gateway.api.get(f"/v1/persons/{person}")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_person")


async def test_sightings_of_a_deleted_camera_follow_and_none_are_added(gateway, hear):
    await hear(FIRST[0], FIRST[1])
    await gateway.api.delete("/v1/cameras/gate")
    await hear(MERGED)
    assert await persons_of(gateway) == {"gate/1/0/0": ANNA, "gate/1/1/0": ANNA}


async def test_a_key_for_one_camera_learns_nothing_of_persons_elsewhere(gateway, hear):
    await hear(*FIRST, MERGED)
    door = await gateway.key("persons:read", cameras=["door"])
    for path in (f"/v1/persons/{BEN}", f"/v1/persons/{BEN}/trajectory"):
        answer = await gateway.api.get(path, headers=door)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_person")
    nowhere = await gateway.key("persons:read", "persons:search", cameras=[])
    history = await gateway.api.get(f"/v1/persons/{BEN}/history", headers=nowhere)
    assert (history.status_code, history.json()["code"]) == (403, "camera_denied")
    search = await gateway.api.post(
        "/v1/persons/search",
        files={"image": ("crop.jpg", picture(1), "image/jpeg")},
        data={"purpose": "to name no camera is not to ask for all"},
        headers=nowhere,
    )
    assert (search.status_code, search.json()["code"]) == (403, "camera_denied")


async def test_an_id_that_is_none_is_refused_before_anybody_is_asked(gateway):
    answer = await gateway.api.get("/v1/persons/x%3Factor=somebody/history")
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed")
    without = await gateway.api.delete(f"/v1/persons/{ANNA}")
    assert (without.status_code, without.json()["code"]) == (422, "malformed")
