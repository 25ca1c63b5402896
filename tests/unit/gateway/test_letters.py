from __future__ import annotations

from services.gateway.intake.doorman import PushedFrame
from shared.bus import Delivery, Settlement
from shared.clock import now_us
from shared.letters import bury_clip
from shared.messages import ClipReady, ClipScored, Outcome
from shared.topics import CLIPS, SCORES, Group
from tests.unit.gateway.test_frames_api import picture


async def dead_clip(gateway) -> tuple[Delivery, ClipReady]:
    """A clip that the anomaly service has failed on too often."""
    await gateway.add_camera()
    camera = await gateway.city.registry.get("gate")
    start = now_us() - 20_000_000
    for n in range(16):
        await gateway.city.doorman.admit(camera, PushedFrame(picture(n), start + n * 200_000))
    bus = gateway.city.bus
    ((entry, fields),) = await bus.redis.xrange(CLIPS.key(0))
    clip = ClipReady.unpack(fields[b"body"])
    delivery = Delivery(CLIPS, 0, entry.decode(), "ClipReady", fields[b"body"], "", deliveries=6)
    await bury_clip(bus, gateway.city.blobs, clip, delivery, Group.ANOMALY, "ValueError: boom")
    dead = ClipScored.of(clip, entry.decode(), Outcome.DEAD, "ValueError: boom")
    await bus.settle(delivery, Group.ANOMALY, Settlement(outputs=((SCORES, dead),)), owed=True)
    await bus.settle(
        Delivery(CLIPS, 0, entry.decode(), "ClipReady", b"", ""),
        Group.REID,
        Settlement(release=(entry.decode(),)),
        owed=True,
    )
    return delivery, clip


async def test_a_dead_letter_tells_its_error_and_is_replayed_with_its_frames(gateway):
    _, clip = await dead_clip(gateway)
    status = "/v1/cameras/gate/status"
    await gateway.until(status, lambda s: s["account"]["groups"]["anomaly"]["dead"] == 16)
    (letter,) = (await gateway.api.get("/v1/dead-letters")).json()["items"]
    assert (letter["error"], letter["frames"], letter["group"]) == (
        "ValueError: boom",
        16,
        "anomaly",
    )
    await gateway.until("/v1/system/backlog", lambda b: b["streams"]["clips.v1"] == 0)

    replayed = await gateway.api.post(f"/v1/dead-letters/{letter['id']}/replay")
    assert replayed.status_code == 202
    bus = gateway.city.bus
    ((entry, fields),) = await bus.redis.xrange(CLIPS.key(0))
    again = ClipReady.unpack(fields[b"body"])
    assert entry.decode() == replayed.json()["entry_id"]
    assert (again.clip_id, again.only) == (clip.clip_id, Group.ANOMALY)
    assert all(await bus.fetch_frames([frame.key for frame in again.frames]))
    assert await bus.open_clips(Group.ANOMALY) == 1
    assert await bus.open_clips(Group.REID) == 0, "only who failed gets it again"
    assert (await gateway.api.get("/v1/dead-letters")).json()["items"] == []

    done = ClipScored.of(again, entry.decode(), Outcome.UNSCORED, "again")
    delivery = Delivery(CLIPS, 0, entry.decode(), "ClipReady", b"", "")
    await bus.settle(delivery, Group.ANOMALY, Settlement(outputs=((SCORES, done),)), owed=True)
    answer = await gateway.until(
        status, lambda s: s["account"]["groups"]["anomaly"]["unscored"] == 16
    )
    assert answer["account"]["groups"]["anomaly"]["dead"] == 0
    assert answer["account"]["groups"]["anomaly"]["in_flight"] == 0
    await gateway.until("/v1/system/backlog", lambda b: b["streams"]["clips.v1"] == 0)
    assert int(await bus.redis.get("bytes:{0}")) > 0, "the ring's context is still held"
    await gateway.api.delete("/v1/cameras/gate")
    assert int(await bus.redis.get("bytes:{0}")) == 0


async def test_an_unknown_letter_cannot_be_replayed(gateway):
    response = await gateway.api.post("/v1/dead-letters/1-0/replay")
    assert (response.status_code, response.json()["code"]) == (404, "unknown_letter")
