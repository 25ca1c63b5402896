"""Footage in over HTTP, alerts and trajectories out: every part and every model is real."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
from collections import Counter
from pathlib import Path

import httpx
import pytest

from services.embedded.demo import Demo
from services.synthetic.city.city import City
from services.synthetic.city.plan import CityPlan

SECONDS = 45


@pytest.fixture(scope="module")
def lived(embedded_city):
    """A city that has lived for three quarters of a minute, and what came of it."""

    async def live():
        demo = Demo(embedded_city, City(CityPlan(seed=7, duration_s=SECONDS)))
        try:
            await demo.register()
            await demo.feed(realtime=False)
            await demo.drain()
            return await demo.scorecard()
        finally:
            await demo.close()

    return asyncio.run(live())


async def test_the_anomaly_raises_an_alert_with_its_pictures(lived, api):
    assert lived.alerts.true >= 1
    assert lived.alerts.precision >= 0.5
    alerts = (await api.get("/v1/alerts", params={"kind": "anomaly"})).json()["items"]
    for alert in alerts:
        assert alert["evidence"]["state"] == "saved"
        picture = await api.get(alert["evidence"]["heat_map"])
        assert picture.content.startswith(b"\xff\xd8")
        incident = (await api.get(f"/v1/incidents/{alert['incident_id']}")).json()
        assert alert["id"] in {member["id"] for member in incident["alerts"]}


async def test_people_are_followed_across_cameras(lived, api):
    assert lived.trajectories.crossings >= 1
    assert lived.trajectories.idf1 >= 0.6
    sightings = (await api.get("/v1/sightings", params={"limit": 1000})).json()["items"]
    cameras = {}
    for sighting in sightings:
        cameras.setdefault(sighting["person_id"], set()).add(sighting["camera_id"])
    person = max(cameras, key=lambda person_id: len(cameras[person_id]))
    way = (await api.get(f"/v1/persons/{person}/trajectory")).json()
    assert set(way["cameras"]) == cameras[person]
    starts = [stay["start_time"] for stay in way["stays"]]
    assert starts == sorted(starts)


async def test_every_accepted_frame_has_one_outcome_in_every_group(lived):
    account = lived.account
    assert account["accepted"] == lived.pushed == 4 * 10 * SECONDS
    for outcomes in account["groups"].values():
        assert outcomes["in_flight"] == 0
        assert account["accepted"] == account["thinned"] + sum(outcomes.values())


async def test_a_person_is_found_by_their_picture_and_the_search_is_audited(
    lived, api, embedded_city
):
    sightings = (await api.get("/v1/sightings", params={"limit": 200})).json()["items"]
    best = max(sightings, key=lambda sighting: sighting["quality"])
    crop = (await api.get(best["crop"])).content
    response = await api.post(
        "/v1/persons/search",
        files={"image": ("crop.jpg", crop, "image/jpeg")},
        data={"purpose": "a test of the search", "case_id": "T-1"},
    )
    assert response.status_code == 200, response.text
    found = response.json()
    assert found["persons"][0]["person_id"] == best["person_id"]
    assert found["persons"][0]["similarity"] > 0.95
    with sqlite3.connect(embedded_city.layout.home / "gateway.db") as database:
        audited = database.execute(
            "SELECT purpose, image FROM audit WHERE id = ?", (found["audit_id"],)
        ).fetchone()
    assert audited[0] == "a test of the search"
    assert (embedded_city.layout.home / "blobs" / audited[1]).read_bytes() == crop


async def test_a_search_without_a_purpose_is_refused(lived, api):
    files = {"image": ("x.jpg", b"\xff\xd8\xff", "image/jpeg")}
    response = await api.post("/v1/persons/search", files=files)
    assert (response.status_code, response.json()["code"]) == (422, "purpose_missing")


async def read_events(api, count: int, **headers) -> list[tuple[str, str]]:
    """Ids and types of the first events of the stream."""
    events, current = [], {}
    async with (
        asyncio.timeout(20),
        api.stream("GET", "/v1/events/stream", headers=headers) as response,
    ):
        assert response.headers["content-type"].startswith("text/event-stream")
        async for line in response.aiter_lines():
            name, _, value = line.partition(": ")
            if name in ("id", "event", "data"):
                current[name] = value
            elif not line and "data" in current:
                events.append((current.get("id"), current["event"]))
                assert json.loads(current["data"]) is not None
                current = {}
                if len(events) == count:
                    return events
    return events


async def test_the_event_stream_replays_what_a_dashboard_missed(lived, api):
    everything = await read_events(api, 40, **{"Last-Event-ID": "0-0"})
    assert everything[0][1] == "reset" or everything[0][0]
    known = [event for event in everything if event[0]]
    again = await read_events(api, 10, **{"Last-Event-ID": known[9][0]})
    assert again == known[10:20]
    assert "person.sighted" in {kind for _, kind in known}


async def test_a_clip_may_be_scored_and_a_crop_embedded_at_the_services_themselves(
    lived, api, embedded_city
):
    frame = (await api.get("/v1/cameras/city-1/snapshot")).content
    headers = {"X-API-Key": embedded_city.admin_key}
    files = [("frames", (str(n), frame, "image/jpeg")) for n in range(16)]
    anomaly = httpx.AsyncClient(base_url=embedded_city.layout.url("anomaly"), headers=headers)
    reid = httpx.AsyncClient(base_url=embedded_city.layout.url("reid"), headers=headers)
    async with anomaly, reid:
        scored = await anomaly.post("/v1/score", files=files, timeout=30)
        embedded = await reid.post(
            "/v1/embeddings", files=[("crops", ("c", frame, "image/jpeg"))], timeout=30
        )
    assert len(scored.json()["frames"]) == 16
    assert embedded.json()["dimensions"] == 256


async def test_the_simulated_city_is_rendered_by_a_job(embedded_city):
    headers = {"X-API-Key": embedded_city.admin_key}
    url = embedded_city.layout.url("synthetic")
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as api:
        params = {"layout": "video", "seconds": 3, "seed": 5}
        made = await api.post("/v1/jobs", json={"kind": "city.render", "params": params})
        assert made.status_code == 202, made.text
        job = await _until_final(api, made.headers["Location"])
        assert (job["state"], job["progress"]) == ("succeeded", 1.0)
        assert (Path(job["result"]["folder"]) / "manifest.json").is_file()
        long = {"layout": "video", "seconds": 3_000, "seed": 6}
        made = await api.post("/v1/jobs", json={"kind": "city.render", "params": long})
        where = made.headers["Location"]
        async with asyncio.timeout(30):
            while (await api.get(where)).json()["progress"] == 0:
                await asyncio.sleep(0.2)
        await api.delete(where)
        assert (await _until_final(api, where))["state"] == "cancelled"


async def _until_final(api, where: str) -> dict:
    async with asyncio.timeout(60):
        while True:
            job = (await api.get(where)).json()
            if job["state"] in ("succeeded", "failed", "cancelled"):
                return job
            await asyncio.sleep(0.2)


def processes_of(layout, service: str) -> list[int]:
    """Process ids of a service of this city."""
    home = f"CITYBRAIN_HOME={layout.home}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")
            mine = home in (folder / "environ").read_bytes()
        except OSError:
            continue
        if mine and f"services.{service}".encode() in command and b"-m" in command:
            found.append(int(folder.name))
    return found


async def test_whoever_is_killed_nothing_accepted_is_lost_and_nothing_is_doubled(
    lived, embedded_city, api
):
    """Each service is killed outright in mid-run, while four cameras push."""
    layout = embedded_city.layout
    before = (await api.get("/v1/system/accounts")).json()
    plan = CityPlan(seed=11, duration_s=24)
    demo = Demo(embedded_city, City(plan))
    for camera in ("city-1", "city-2", "city-3", "city-4"):
        await api.delete(f"/v1/cameras/{camera}")
    try:
        await demo.register()
        feeding = asyncio.create_task(demo.feed(realtime=False))
        for service in ("anomaly", "reid", "gateway", "reid", "anomaly"):
            await asyncio.sleep(1.5)
            for process in processes_of(layout, service):
                os.kill(process, signal.SIGKILL)
        await feeding
        await _until_up(api)
        await demo.drain()
        account = (await _get(api, "/v1/system/accounts")).json()
    finally:
        await demo.close()
    assert before["accepted"] > 0
    assert account["accepted"] == 4 * plan.frames
    for group, outcomes in account["groups"].items():
        assert outcomes["in_flight"] == 0, group
        assert account["accepted"] == account["thinned"] + sum(outcomes.values())
        assert outcomes["dead"] == 0
    await _check_nothing_is_doubled(api)


async def _check_nothing_is_doubled(api) -> None:
    for n in range(1, 5):
        curve = (await _get(api, f"/v1/cameras/city-{n}/timeline?limit=20000")).json()
        times = Counter(point["time"] for point in curve["points"])
        assert max(times.values(), default=0) == 1
    sightings = (await _get(api, "/v1/sightings?limit=1000")).json()["items"]
    assert max(Counter(sighting["id"] for sighting in sightings).values()) == 1


async def _until_up(api) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                if (await api.get("/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.2)


async def _get(api, path: str) -> httpx.Response:
    response = await api.get(path)
    response.raise_for_status()
    return response


async def test_the_quickstart_trains(api):
    camera = {"id": "of-its-own", "name": "with weights of its own"}
    assert (await api.post("/v1/cameras", json=camera)).status_code == 201
    begun = await api.post("/v1/baselines/of-its-own/train", json={"minutes": 11})
    assert begun.status_code == 202, begun.text
    assert begun.json()["state"] == "recording"
    assert (await api.delete(begun.headers["location"])).json()["cancel_requested"]
