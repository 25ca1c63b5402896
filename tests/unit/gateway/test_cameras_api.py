from __future__ import annotations

import asyncio
import time

from tests.unit.gateway.test_frames_api import picture

CAMERA = {
    "id": "gate",
    "name": "Gate 大门",
    "site": "north",
    "location": {"latitude": 30.27, "longitude": 120.15},
    "analysis_fps": 2.5,
}


async def test_a_camera_is_registered_read_changed_and_deleted(gateway):
    made = await gateway.api.post("/v1/cameras", json=CAMERA)
    assert made.status_code == 201
    assert made.headers["Location"] == "/v1/cameras/gate"
    read = await gateway.api.get("/v1/cameras/gate")
    assert read.json() == made.json()
    assert CAMERA.items() <= read.json().items()
    changed = await gateway.api.patch("/v1/cameras/gate", json={"name": "Gate 2"})
    assert (changed.json()["name"], changed.json()["site"]) == ("Gate 2", "north")
    assert (await gateway.api.delete("/v1/cameras/gate")).status_code == 204
    assert (await gateway.api.get("/v1/cameras/gate")).status_code == 404
    assert (await gateway.api.post("/v1/cameras", json=CAMERA)).status_code == 201, "made anew"


async def test_a_second_camera_of_the_same_id_is_a_conflict(gateway):
    await gateway.api.post("/v1/cameras", json=CAMERA)
    again = await gateway.api.post("/v1/cameras", json=CAMERA)
    assert (again.status_code, again.json()["code"]) == (409, "duplicate_camera")


async def test_the_same_create_with_the_same_key_makes_one_camera(gateway):
    headers = {"Idempotency-Key": "a-1"}
    first = await gateway.api.post("/v1/cameras", json=CAMERA, headers=headers)
    again = await gateway.api.post("/v1/cameras", json=CAMERA, headers=headers)
    assert (again.status_code, again.json()) == (201, first.json())
    other = await gateway.api.post("/v1/cameras", json=CAMERA | {"id": "door"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "key_reused")


async def test_two_operators_do_not_overwrite_each_other(gateway):
    await gateway.api.post("/v1/cameras", json=CAMERA)
    etag = (await gateway.api.get("/v1/cameras/gate")).headers["ETag"]
    headers = {"If-Match": etag}
    first = await gateway.api.patch("/v1/cameras/gate", json={"name": "A"}, headers=headers)
    second = await gateway.api.patch("/v1/cameras/gate", json={"name": "B"}, headers=headers)
    assert first.status_code == 200
    assert (second.status_code, second.json()["code"]) == (412, "stale_version")


async def test_wrong_fields_are_named(gateway):
    response = await gateway.api.post(
        "/v1/cameras", json={"id": "Bad Id!", "name": "x", "analysis_fps": 0}
    )
    assert response.status_code == 422
    assert {fault["field"] for fault in response.json()["errors"]} == {
        "body.id",
        "body.analysis_fps",
    }
    too_far = await gateway.api.post("/v1/cameras", json=CAMERA | {"stride": 17})
    assert (too_far.status_code, too_far.json()["code"]) == (422, "stride_too_long")


async def test_lists_are_paged_by_cursor(gateway):
    for n in range(7):
        await gateway.add_camera(f"cam-{n}")
    seen, cursor = [], None
    while True:
        query = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        page = (await gateway.api.get("/v1/cameras", params=query)).json()
        seen += [camera["id"] for camera in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [f"cam-{n}" for n in range(7)]


async def test_a_misspelt_filter_is_refused_and_says_what_is_known(gateway):
    response = await gateway.api.get("/v1/alerts", params={"sevrity": "high"})
    assert (response.status_code, response.json()["code"]) == (400, "unknown_parameter")
    assert "severity" in response.json()["detail"]


async def test_a_camera_comes_online_with_its_first_frame_and_goes_offline_in_silence(
    start_gateway,
):
    async with start_gateway(offline_after_s=1.5) as gateway:
        await gateway.add_camera()
        status = "/v1/cameras/gate/status"
        assert (await gateway.api.get(status)).json()["presence"] == "new"
        await gateway.api.post(
            "/v1/cameras/gate/frames", content=picture(), headers={"Content-Type": "image/jpeg"}
        )
        await gateway.until(status, lambda answer: answer["presence"] == "online")
        await gateway.until(status, lambda answer: answer["presence"] == "offline")
        (alert,) = (await gateway.api.get("/v1/alerts")).json()["items"]
        assert (alert["kind"], alert["state"]) == ("camera_offline", "open")
        await gateway.api.post(
            "/v1/cameras/gate/frames", content=picture(2), headers={"Content-Type": "image/jpeg"}
        )
        await gateway.until("/v1/alerts", lambda answer: answer["items"][0]["state"] == "closed")


async def test_an_archive_that_ends_is_no_offline_camera(start_gateway):
    async with start_gateway(offline_after_s=1.0) as gateway:
        await gateway.add_camera(mode="archive")
        await gateway.api.post(
            "/v1/cameras/gate/frames",
            params={"captured_at": time.time() - 10 * 86_400},
            content=picture(),
            headers={"Content-Type": "image/jpeg"},
        )
        status = "/v1/cameras/gate/status"
        await gateway.until(status, lambda answer: answer["presence"] == "offline")
        await asyncio.sleep(0.2)
        assert (await gateway.api.get("/v1/alerts")).json()["items"] == []


async def test_a_deleted_camera_s_pictures_are_gone(gateway):
    await gateway.add_camera()
    await gateway.api.post(
        "/v1/cameras/gate/frames",
        content=picture(),
        headers={"Content-Type": "image/jpeg"},
    )
    await gateway.api.delete("/v1/cameras/gate")
    keys = [key async for key in gateway.city.bus.frames.scan_iter("*gate*")]
    assert keys == []
