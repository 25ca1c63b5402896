"""Users say who is who: the gateway and the re-ID service, real, in this process."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from services.gateway.peers import ReidPeer
from shared.auth import Scope
from tests.unit.gateway.conftest import running_gateway
from tests.unit.reid.test_worker import BLUE, RED, box, crop, running, scene

WHY = {"purpose": "a test of merging"}


@pytest.fixture
async def city(bus, redis_server, tmp_path):
    """A gateway that asks a re-ID service, and both of them hear the same bus."""
    async with (
        running_gateway(redis_server.url, tmp_path) as gateway,
        running(bus, redis_server, tmp_path) as reid,
    ):
        transport = httpx.ASGITransport(app=reid.app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://reid")
        await gateway.city.reid.close()
        gateway.city.reid = ReidPeer(client, gateway.city.keys)
        for camera in ("gate", "door"):
            await gateway.add_camera(camera)
        yield gateway, reid


async def two_people(gateway, reid) -> tuple[str, str]:
    """Red and blue walk by the gate, blue by the door as well; their persons."""
    await reid.send([scene((20, RED), (200, BLUE))] * 16, boxes=[(box(20), box(200))] * 16)
    await reid.send([scene()] * 16, boxes=[()] * 16, camera="door")
    await reid.send([scene((90, BLUE))] * 16, boxes=[(box(90),)] * 16, camera="door")
    page = await gateway.until("/v1/sightings", lambda page: len(page["items"]) == 3)
    person_at = {item["boxes"][0]["x"]: item["person_id"] for item in page["items"]}
    assert person_at[200] == person_at[90]
    return person_at[20], person_at[200]


async def search(gateway, colour, **params):
    files = {"image": ("crop.jpg", crop(colour), "image/jpeg")}
    answer = await gateway.api.post("/v1/persons/search", params=params, files=files, data=WHY)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_who_is_merged_split_and_forgotten_is_so_everywhere(city):
    gateway, reid = city
    api = gateway.api
    red, blue = await two_people(gateway, reid)

    asked = {"person_ids": [blue], **WHY}
    headers = {"Idempotency-Key": "m", "If-Match": '"0"'}
    merged = await api.post(f"/v1/persons/{red}/merge", json=asked, headers=headers)
    assert merged.status_code == 201, merged.text
    again = await api.post(f"/v1/persons/{red}/merge", json=asked, headers=headers)
    assert again.json() == merged.json()
    stale = await api.post(
        f"/v1/persons/{red}/confirm",
        json={"sighting_ids": ["gate/1/0/0"], **WHY},
        headers={"If-Match": '"0"'},
    )
    assert (stale.status_code, stale.json()["code"]) == (412, "stale_version")
    person = await gateway.until(f"/v1/persons/{blue}", lambda it: it.get("sightings") == 3)
    assert (person["merged_into"], person["cameras"]) == (red, ["door", "gate"])
    conflict = await api.post(f"/v1/persons/{blue}/merge", json={"person_ids": [red], **WHY})
    assert (conflict.status_code, conflict.json()["code"]) == (409, "person_merged")

    only_door = await gateway.key(Scope.PERSONS_WRITE, Scope.PERSONS_ERASE, cameras=["door"])
    undo = f"/v1/person-changes/{merged.json()['id']}/undo"
    for denied in (
        await api.post(undo, json=WHY, headers=only_door),
        await api.delete(f"/v1/persons/{red}", params=WHY, headers=only_door),
    ):
        assert (denied.status_code, denied.json()["code"]) == (403, "camera_denied")

    undone = (await api.post(undo, json=WHY)).json()
    assert undone["undone_at"] is not None
    await gateway.until(f"/v1/persons/{red}", lambda it: it.get("sightings") == 1)
    person = await gateway.until(f"/v1/persons/{blue}", lambda it: it.get("sightings") == 2)
    assert person["merged_into"] is None
    history = await api.get(f"/v1/persons/{blue}/history")
    assert [change["id"] for change in history.json()["items"]] == [undone["id"]]
    assert history.headers["ETag"] == '"2"'
    moved = (await api.get(f"/v1/person-changes/{undone['id']}/sightings")).json()["items"]
    assert {(move["from_person_id"], move["to_person_id"]) for move in moved} == {(blue, red)}
    assert len(moved) == 2

    split = await api.post(
        f"/v1/persons/{blue}/split", json={"sighting_ids": ["door/1/1/0"], **WHY}
    )
    somebody = split.json()["person_id"]
    person = await gateway.until(f"/v1/persons/{somebody}", lambda it: "confirmed" in it)
    assert (person["sightings"], person["confirmed"], person["cameras"]) == (1, 1, ["door"])

    found = await search(gateway, BLUE, mode="fast")
    assert (found["mode"], found["recall"]) == ("exact", 1.0), "so few are searched exactly"
    erased = (await api.delete(f"/v1/persons/{blue}", params=WHY)).json()
    assert (erased["person_id"], erased["sightings"]) == (blue, 1)
    await gateway.until(f"/v1/persons/{blue}", lambda it: it.get("code") == "unknown_person")
    async with asyncio.timeout(10):
        while blue in {it["person_id"] for it in (await search(gateway, BLUE))["persons"]}:
            await asyncio.sleep(0.1)
    kept = (await api.get("/v1/sightings")).json()["items"]
    assert {item["person_id"] for item in kept} == {red, somebody}
    refused = await api.post(
        "/v1/persons/search",
        params={"mode": "magic"},
        files={"image": ("crop.jpg", crop(RED), "image/jpeg")},
        data=WHY,
    )
    assert refused.status_code == 422
