"""Outcomes on the bus -> alerts, incidents, evidence and timeline, as REST shows them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import numpy as np
import pytest

from services.gateway.intake.doorman import PushedFrame
from shared.bus import Delivery, Settlement
from shared.clock import now_us
from shared.errors import Conflict
from shared.messages import (
    Box,
    ClipReady,
    ClipScored,
    Detection,
    ErrorMap,
    FrameScore,
    Outcome,
    PersonsSighted,
    Prior,
    ScoringContext,
    Sighting,
)
from shared.topics import CLIPS, SCORES, SIGHTINGS, Group
from tests.unit.gateway.test_frames_api import picture

SECOND = 1_000_000
INTERVAL = 200_000
PRIOR = Prior(q50=0.01, q95=0.015, q99=0.02, q999=0.03)
CONTEXT = ScoringContext(model="m", model_digest="d" * 64, provider="cpu", precision="fp32")
LOUD, QUIET = 0.09, 0.01
JPEG = {"Content-Type": "image/jpeg"}


class Camera:
    """Pushes real frames through HTTP, and answers its clips as the anomaly service would."""

    def __init__(self, gateway, camera_id: str = "gate") -> None:
        self.gateway = gateway
        self.id = camera_id
        self.captured = now_us() - 300 * SECOND
        self.clips: list[tuple[str, ClipReady]] = []

    async def clip(self, body: bytes | None = None) -> None:
        """One more window of frames: of noise, or all of them the same."""
        camera = await self.gateway.city.registry.get(self.id)
        for _ in range(16):
            self.captured += INTERVAL
            pushed = PushedFrame(body or picture(self.captured % 1000), self.captured)
            await self.gateway.city.doorman.admit(camera, pushed)
        entries = await self.gateway.city.bus.redis.xrange(CLIPS.key(0))
        known = {entry for entry, _ in self.clips}
        for entry, fields in entries:
            clip = ClipReady.unpack(fields[b"body"])
            if clip.camera_id == self.id and entry.decode() not in known:
                self.clips.append((entry.decode(), clip))

    async def answer(self, n: int, error: float | list[float], **changes) -> ClipScored:
        """The outcome of the n-th clip, settled as the anomaly worker settles it."""
        entry, clip = self.clips[n]
        errors = [error] * len(clip.owned) if isinstance(error, float) else error
        scored = ClipScored.of(
            clip,
            entry,
            Outcome.DONE,
            context=CONTEXT,
            prior=PRIOR,
            scores=tuple(
                FrameScore(
                    captured_us=f.captured_us, error=e, regions=(Box(x=1, y=2, width=3, height=4),)
                )
                for f, e in zip(clip.owned, errors, strict=True)
            ),
            error_map=ErrorMap(
                rows=4,
                columns=4,
                values=np.eye(4, dtype="<f2").tobytes(),
                captured_us=clip.owned[7].captured_us,
            ),
            frames=clip.owned,
            masks=clip.masks,
        ).model_copy(update=changes)
        bus = self.gateway.city.bus
        delivery = Delivery(CLIPS, 0, entry, "ClipReady", b"", "")
        await bus.settle(
            delivery, Group.ANOMALY, Settlement(outputs=((SCORES, scored),)), owed=True
        )
        return scored

    async def live(self, *errors: float) -> None:
        for error in errors:
            await self.clip()
            await self.answer(-1, error)


@pytest.fixture
async def gate(gateway):
    await gateway.add_camera()
    return Camera(gateway)


async def alerts(gateway, found=lambda items: items, **query):
    answer = await gateway.until("/v1/alerts", lambda page: found(page["items"]), **query)
    return answer["items"]


async def settled(gateway) -> None:
    """All outcomes are folded, and all frames that nobody needs are gone."""
    await gateway.until("/v1/system/backlog", lambda b: b["streams"]["scores.v1"] == 0)


async def test_a_loud_clip_opens_an_alert_with_its_pictures(gateway, gate):
    await gate.live(QUIET, LOUD)
    (alert,) = await alerts(
        gateway, lambda items: items and items[0]["evidence"]["state"] == "saved"
    )
    assert (alert["camera_id"], alert["kind"], alert["state"]) == ("gate", "anomaly", "open")
    assert alert["learning"]
    assert alert["severity"] == "high", "critical, and one step less while learning"
    assert alert["regions"] == [{"x": 1.0, "y": 2.0, "width": 3.0, "height": 4.0}]
    assert len(alert["evidence"]["frames"]) == 3
    for link in [alert["evidence"]["heat_map"], *(f["image"] for f in alert["evidence"]["frames"])]:
        response = await gateway.api.get(link)
        assert response.headers["content-type"] == "image/jpeg"
        assert response.content.startswith(b"\xff\xd8")


async def test_an_alert_closes_when_the_camera_is_quiet_again(gateway, gate):
    await gate.live(QUIET, LOUD, QUIET, QUIET)
    (alert,) = await alerts(gateway, lambda items: items and items[0]["state"] == "closed")
    _, clip = gate.clips[1]
    assert alert["start_time"] < alert["end_time"]
    assert alert["end_time"].startswith(str(np.datetime64(clip.frames[-1].captured_us, "us"))[:19])


async def test_outcomes_are_folded_in_the_order_of_their_clips(gateway, gate):
    for _ in range(3):
        await gate.clip()
    await gate.answer(2, QUIET)
    await gate.answer(1, LOUD)
    await asyncio.sleep(0.5)
    assert (await gateway.api.get("/v1/alerts")).json()["items"] == [], "the first is awaited"
    await gate.answer(0, QUIET)
    (alert,) = await alerts(
        gateway, lambda items: items and items[0]["evidence"]["state"] == "saved"
    )
    assert alert["evidence"]["frames"], "frames of a clip whose turn has not come are kept"


async def test_a_gap_is_closed_by_any_outcome(gateway, gate):
    for _ in range(3):
        await gate.clip()
    await gate.answer(1, QUIET)
    await gate.answer(2, LOUD)
    dead = {
        "outcome": Outcome.EXPIRED,
        "context": None,
        "prior": None,
        "scores": (),
        "error_map": None,
    }
    await gate.answer(0, QUIET, **dead)
    assert len(await alerts(gateway)) == 1


async def test_the_same_outcome_twice_changes_nothing(gateway, gate):
    await gate.live(QUIET, LOUD)
    await alerts(gateway)
    await settled(gateway)
    entry, clip = gate.clips[1]
    scored = ClipScored.of(clip, entry, Outcome.DONE, context=CONTEXT, prior=PRIOR)
    for _ in range(20):
        await gateway.city.bus.publish(SCORES, scored)
    await settled(gateway)
    assert len((await gateway.api.get("/v1/alerts")).json()["items"]) == 1
    account = (await gateway.api.get("/v1/cameras/gate/status")).json()["account"]
    assert account["groups"]["anomaly"]["done"] == 32


async def test_when_all_readers_are_through_nothing_is_kept_but_the_context(gateway, gate):
    await gate.live(QUIET, LOUD, QUIET)
    await settled(gateway)
    bus = gateway.city.bus
    for entry, _ in gate.clips:
        delivery = Delivery(CLIPS, 0, entry, "ClipReady", b"", "")
        await bus.settle(delivery, Group.REID, Settlement(release=(entry,)), owed=True)
    assert await bus.backlog(CLIPS) == 0
    kept = [key async for key in bus.frames.scan_iter("frame.*")]
    assert len(kept) == 15, "what the next window begins with"


async def test_the_timeline_is_the_regularity_curve(gateway, gate):
    await gate.live(QUIET, LOUD)
    timeline = "/v1/cameras/gate/timeline"
    answer = await gateway.until(timeline, lambda curve: len(curve["points"]) == 32)
    errors = [point["error"] for point in answer["points"]]
    assert errors == [QUIET] * 16 + [LOUD] * 16
    assert all(point["regularity"] > 0.9 for point in answer["points"][:16])
    assert all(point["regularity"] < -1 for point in answer["points"][16:])
    assert answer["points"] == sorted(answer["points"], key=lambda point: point["time"])
    coarse = (await gateway.api.get(timeline, params={"bucket": "1m"})).json()
    assert max(point["score"] for point in coarse["points"]) > 2
    assert len(coarse["points"]) <= 2


async def test_a_clip_that_was_not_scored_is_a_gap_in_the_timeline(gateway, gate):
    await gate.clip()
    entry, clip = gate.clips[0]
    await gateway.city.bus.publish(SCORES, ClipScored.of(clip, entry, Outcome.UNSCORED, "short"))
    answer = await gateway.until("/v1/cameras/gate/timeline", lambda curve: curve["unscored"])
    assert answer["unscored"][0]["reason"] == "short"


async def test_alerts_of_one_place_and_moment_are_one_incident(gateway):
    for camera_id, site in (("gate", "north"), ("door", "north"), ("roof", "south")):
        await gateway.add_camera(camera_id, site=site)
    cameras = [Camera(gateway, camera_id) for camera_id in ("gate", "door", "roof")]
    for camera in cameras:
        await camera.live(QUIET, LOUD)
    found = await alerts(gateway, lambda items: len(items) == 3)
    incident_of = {alert["camera_id"]: alert["incident_id"] for alert in found}
    assert incident_of["gate"] == incident_of["door"] != incident_of["roof"]
    incident = (await gateway.api.get(f"/v1/incidents/{incident_of['gate']}")).json()
    assert {alert["camera_id"] for alert in incident["alerts"]} == {"gate", "door"}
    assert (incident["place"], incident["state"]) == ("north", "open")
    listed = (await gateway.api.get("/v1/incidents")).json()["items"]
    assert len(listed) == 2


def sighted(clip: ClipReady, entry: str, person: str, at: int) -> PersonsSighted:
    detection = Detection(captured_us=at, box=Box(x=1, y=1, width=9, height=20))
    return PersonsSighted.of(
        clip,
        entry,
        Outcome.DONE,
        sightings=(
            Sighting(
                sighting_id=f"{clip.clip_id}/0",
                person_id=person,
                confidence=0.8,
                detections=(detection,),
                crop=f"crops/{clip.camera_id}/x.jpg",
                quality=0.7,
            ),
        ),
    )


async def test_an_incident_lists_the_people_who_were_there(gateway, gate):
    await gate.live(QUIET, LOUD)
    (alert,) = await alerts(gateway)
    entry, clip = gate.clips[1]
    message = sighted(clip, entry, "P" * 26, clip.owned[3].captured_us)
    for _ in range(3):
        await gateway.city.bus.publish(SIGHTINGS, message)
    detail = await gateway.until(
        f"/v1/incidents/{alert['incident_id']}", lambda incident: incident["persons"]
    )
    assert [person["person_id"] for person in detail["persons"]] == ["P" * 26]
    way = (await gateway.api.get(f"/v1/persons/{'P' * 26}/trajectory")).json()
    assert [(stay["camera_id"], stay["sightings"]) for stay in way["stays"]] == [("gate", 1)]
    account = (await gateway.api.get("/v1/cameras/gate/status")).json()["account"]
    assert account["groups"]["reid"]["done"] == 16, "told three times, counted once"


async def test_an_alert_is_closed_by_the_server_s_clock_when_frames_stop(start_gateway):
    async with start_gateway(offline_after_s=3) as gateway:
        await gateway.add_camera()
        gate = Camera(gateway)
        await gate.live(QUIET, LOUD)
        (alert,) = await alerts(
            gateway, lambda items: items and items[0]["state"] == "closed", kind="anomaly"
        )
        assert alert["closed_at"] > alert["end_time"]


async def test_an_alert_of_a_clip_that_was_scored_after_frames_stopped_is_closed_too(start_gateway):
    async with start_gateway(offline_after_s=1) as gateway:
        await gateway.add_camera()
        gate = Camera(gateway)
        for _ in range(3):
            await gate.clip()
        await gate.answer(0, QUIET)
        status = "/v1/cameras/gate/status"
        await gateway.until(status, lambda said: said["presence"] == "offline")
        await gate.answer(1, LOUD)
        (alert,) = await alerts(gateway, kind="anomaly")
        assert alert["state"] == "open", "the third clip may go on with it"
        await gate.answer(2, LOUD)
        (alert,) = await alerts(
            gateway, lambda items: items and items[0]["state"] == "closed", kind="anomaly"
        )


async def test_a_deleted_camera_raises_no_alerts_from_the_dead(gateway, gate):
    await gate.clip()
    await gateway.api.delete("/v1/cameras/gate")
    await gate.answer(0, LOUD)
    await settled(gateway)
    assert (await gateway.api.get("/v1/alerts")).json()["items"] == []


async def test_a_replayed_clip_completes_the_timeline_and_raises_no_alarm_from_the_past(
    gateway, gate
):
    for _ in range(2):
        await gate.clip()
    nothing = {"context": None, "prior": None, "scores": (), "error_map": None}
    await gate.answer(0, QUIET, outcome=Outcome.DEAD, **nothing)
    await gate.answer(1, QUIET)
    account = "/v1/cameras/gate/status"
    await gateway.until(account, lambda s: s["account"]["groups"]["anomaly"]["dead"] == 16)
    entry, clip = gate.clips[0]
    late = ClipScored.of(
        clip,
        entry,
        Outcome.DONE,
        context=CONTEXT,
        prior=PRIOR,
        scores=tuple(FrameScore(captured_us=f.captured_us, error=LOUD) for f in clip.owned),
    ).model_copy(update={"replayed": True})
    await gateway.city.bus.publish(SCORES, late)
    status = await gateway.until(account, lambda s: s["account"]["groups"]["anomaly"]["done"] == 32)
    assert status["account"]["groups"]["anomaly"]["dead"] == 0
    curve = (await gateway.api.get("/v1/cameras/gate/timeline")).json()
    assert len(curve["points"]) == 32
    assert (await gateway.api.get("/v1/alerts")).json()["items"] == []


async def test_a_clock_that_was_set_back_closes_the_alert_of_before(gateway, gate):
    await gate.live(QUIET, LOUD)
    await alerts(gateway)
    gate.captured -= 600 * SECOND
    camera = await gateway.city.registry.get("gate")
    for n in range(6):
        with suppress(Conflict):
            moment = gate.captured + n * INTERVAL
            await gateway.city.doorman.admit(camera, PushedFrame(picture(n), moment))
    gate.captured += 6 * INTERVAL
    for _ in range(2):
        await gate.clip()
        for n, (_, clip) in enumerate(gate.clips):
            if n >= 2 and not clip.short:
                await gate.answer(n, QUIET)
    (alert,) = await alerts(gateway, lambda items: items and items[0]["state"] == "closed")
    assert alert["end_time"] >= alert["start_time"]


async def test_events_tell_what_happened_in_order_and_once(gateway, gate):
    await gate.live(QUIET, LOUD, QUIET, QUIET)
    events = []
    async with asyncio.timeout(20):
        async for event in gateway.city.feed.listen("0-0"):
            events += [] if event is None else [event]
            if events and events[-1].raised.type == "alert.closed":
                break
    types = [event.raised.type for event in events]
    assert (
        types.index("incident.opened") < types.index("alert.opened") < types.index("alert.closed")
    )
    assert types.count("alert.opened") == 1
    assert len({event.id for event in events}) == len(events)


async def test_an_incident_tells_that_it_goes_on_and_that_it_grows_graver(gateway, gate):
    await gate.live(QUIET, 2 * QUIET, QUIET, QUIET, LOUD)
    await alerts(gateway, lambda items: items and items[0]["severity"] == "high")
    heard = []
    async with asyncio.timeout(10):
        async for event in gateway.city.feed.listen("0-0"):
            if event is not None and event.raised.type.startswith("incident."):
                heard.append((event.raised.type, event.raised.data["state"]))
            if len(heard) == 4:
                break
    assert heard == [
        ("incident.opened", "open"),
        ("incident.closed", "closed"),
        ("incident.reopened", "open"),
        ("incident.updated", "open"),
    ]
