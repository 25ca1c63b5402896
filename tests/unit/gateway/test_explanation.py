"""Why an alert was raised, as REST tells it: figures, reconstruction, nearest normal frame."""

from __future__ import annotations

import numpy as np
import pytest

from services.gateway.composer.quiet import QuietMoment
from shared.images import decode, encode_jpeg
from shared.messages import Box, FrameScore
from tests.unit.gateway.test_composer import LOUD, QUIET, SECOND, Camera, alerts, settled

DRAWN = encode_jpeg(np.full((128, 128), 77, np.uint8))
LEFT_HALF = {"points": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}
MINUTE = 60 * SECOND


def gray(value: int) -> bytes:
    return encode_jpeg(np.full((120, 160, 3), value, np.uint8))


class Lamp(Camera):
    """A camera that shows one gray all over."""

    async def shows(self, value: int, error: float, **changes) -> None:
        """One clip, a minute after the one before, and what was made of it."""
        self.captured += MINUTE
        await self.clip(gray(value))
        await self.answer(-1, error, **changes)
        await settled(self.gateway)

    async def flares(self, value: int = 200) -> dict:
        """The alert that it raises, with its pictures."""
        await self.shows(value, LOUD, reconstruction=DRAWN)
        (alert,) = await alerts(
            self.gateway, lambda items: items and items[0]["evidence"]["state"] != "pending"
        )
        return alert

    async def kept(self) -> list[str]:
        """Names of its quiet frames in the blob store."""
        folder = self.gateway.settings.blobs / "quiet" / self.id
        return sorted(path.name for path in folder.glob("*"))


@pytest.fixture
async def lamp(gateway):
    await gateway.add_camera()
    lamp = Lamp(gateway)
    lamp.captured -= 2000 * SECOND
    return lamp


async def pixels_of(gateway, link: str) -> np.ndarray:
    response = await gateway.api.get(link)
    assert response.headers["content-type"] == "image/jpeg"
    return decode(response.content, "gray")


async def test_every_frame_tells_what_its_score_is_made_of(gateway, lamp):
    await lamp.shows(100, QUIET)
    await lamp.clip(gray(100))
    parts = {"motion": 0.06, "look": 0.03}
    scores = tuple(
        FrameScore(captured_us=frame.captured_us, error=LOUD, parts=parts)
        for frame in lamp.clips[-1][1].owned
    )
    await lamp.answer(-1, LOUD, scores=scores)
    (alert,) = await alerts(
        gateway, lambda items: items and items[0]["evidence"]["state"] == "saved"
    )
    one = (await gateway.api.get(f"/v1/alerts/{alert['id']}")).json()
    assert len(one["evidence"]["frames"]) == 3
    for frame in one["evidence"]["frames"]:
        assert frame["error"] == LOUD
        assert frame["parts"] == parts
        assert 0 < frame["usual"] < frame["rare"] < LOUD
        scale = frame["rare"] - frame["usual"]
        assert frame["score"] == pytest.approx((LOUD - frame["usual"]) / scale)
    curve = (await gateway.api.get("/v1/cameras/gate/timeline")).json()["points"]
    assert curve[-1]["score"] == pytest.approx(one["evidence"]["frames"][-1]["score"], abs=1e-4)


async def test_the_reconstruction_is_kept_in_the_proportions_of_the_frame(gateway, lamp):
    await lamp.shows(100, QUIET)
    alert = await lamp.flares()
    drawn = await pixels_of(gateway, alert["evidence"]["reconstruction"])
    assert drawn.shape[1] / drawn.shape[0] == pytest.approx(160 / 120, rel=0.02)
    assert drawn.mean() == pytest.approx(77, abs=2)
    worst = [
        f for f in alert["evidence"]["frames"] if f["captured_at"] == alert["evidence"]["worst_at"]
    ]
    assert len(worst) == 1


async def test_picture_heat_map_and_boxes_are_of_one_frame_though_the_alert_peaks_later(
    gateway, lamp
):
    await lamp.shows(100, QUIET)
    for loudness in (LOUD, 2 * LOUD):
        await lamp.clip(gray(200))
        scores = tuple(
            FrameScore(
                captured_us=frame.captured_us,
                error=loudness + 0.001 * (n == 7),
                regions=(Box(x=n, y=10, width=30, height=1000 * loudness),),
            )
            for n, frame in enumerate(lamp.clips[-1][1].owned)
        )
        await lamp.answer(-1, loudness, scores=scores)
    await settled(gateway)
    (alert,) = await alerts(
        gateway, lambda items: items and items[0]["evidence"]["state"] == "saved"
    )
    evidence = alert["evidence"]
    assert alert["peak_time"] > evidence["worst_at"], "of the second clip"
    assert alert["regions"] == [{"x": 7.0, "y": 10.0, "width": 30.0, "height": 180.0}]
    assert evidence["regions"] == [{"x": 7.0, "y": 10.0, "width": 30.0, "height": 90.0}]
    assert evidence["worst_at"] in [frame["captured_at"] for frame in evidence["frames"]]


async def test_the_nearest_of_the_quiet_frames_stands_beside_the_alert(gateway, lamp):
    for value in (40, 90, 140):
        await lamp.shows(value, QUIET)
    alert = await lamp.flares(95)
    normal = alert["evidence"]["nearest_normal"]
    assert normal["difference"] == pytest.approx(5 / 255, abs=0.005)
    assert (await pixels_of(gateway, normal["image"])).mean() == pytest.approx(90, abs=2)
    assert normal["captured_at"] < alert["start_time"]


async def test_a_quiet_clip_that_is_folded_with_the_alert_stands_beside_it(gateway, lamp):
    await lamp.clip(gray(100))
    await lamp.clip(gray(200))
    await lamp.answer(1, LOUD)
    await lamp.answer(0, QUIET)
    (alert,) = await alerts(
        gateway, lambda items: items and items[0]["evidence"]["state"] == "saved"
    )
    normal = await pixels_of(gateway, alert["evidence"]["nearest_normal"]["image"])
    assert normal.mean() == pytest.approx(100, abs=2)


async def test_a_camera_without_quiet_frames_has_none_beside_its_alert(gateway, lamp):
    await lamp.shows(100, QUIET)
    await gateway.city.quiet.forget("gate")
    assert await lamp.kept() == []
    alert = await lamp.flares()
    assert alert["evidence"]["nearest_normal"] is None
    assert alert["evidence"]["heat_map"] is not None


async def test_loud_frames_are_never_kept_as_quiet_ones(gateway, lamp):
    await lamp.shows(100, QUIET)
    before = await lamp.kept()
    await lamp.shows(200, LOUD)
    assert await lamp.kept() == before != []


async def test_quiet_frames_are_bounded(gateway, lamp):
    for value in range(12):
        await lamp.shows(value * 10, QUIET)
    kept = await lamp.kept()
    assert len([name for name in kept if name.startswith("recent-")]) == 8
    assert len(kept) <= 8 + 2, "twelve minutes lie in at most two hours"


async def test_masks_hide_in_quiet_frames_and_a_new_mask_forgets_those_before(gateway, lamp):
    await lamp.shows(100, QUIET)
    await gateway.api.patch("/v1/cameras/gate", json={"masks": [LEFT_HALF]})
    assert await lamp.kept() == []
    await lamp.shows(100, QUIET)
    alert = await lamp.flares()
    normal = await pixels_of(gateway, alert["evidence"]["nearest_normal"]["image"])
    assert normal[:, :70].max() < 10
    assert normal[:, 90:].min() > 90


async def test_a_deleted_camera_s_quiet_frames_are_forgotten_and_its_alerts_keep_theirs(
    gateway, lamp
):
    await lamp.shows(100, QUIET)
    alert = await lamp.flares()
    assert (await gateway.api.delete("/v1/cameras/gate")).status_code == 204
    assert await lamp.kept() == []
    assert (await pixels_of(gateway, alert["evidence"]["nearest_normal"]["image"])).size


async def test_a_frame_from_before_a_mask_is_not_kept_after_it(gateway, lamp):
    await lamp.clip(gray(100))
    frame = lamp.clips[-1][1].owned[0]
    await gateway.api.patch("/v1/cameras/gate", json={"masks": [LEFT_HALF]})
    await gateway.city.quiet.keep(QuietMoment("gate", frame, masks=()))
    assert await lamp.kept() == []


async def test_where_quiet_frames_cannot_be_stored_alerts_are_raised_all_the_same(gateway, lamp):
    folder = gateway.settings.blobs / "quiet"
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_bytes(b"in the way")
    await lamp.shows(100, QUIET)
    alert = await lamp.flares()
    assert alert["evidence"]["state"] == "saved"
    assert alert["evidence"]["nearest_normal"] is None


async def test_quiet_frames_themselves_are_not_for_looking_at(gateway, lamp):
    await lamp.shows(100, QUIET)
    name = (await lamp.kept())[0]
    assert (await gateway.api.get(f"/v1/blobs/quiet/gate/{name}")).status_code == 403


async def test_where_the_bytes_were_lost_the_figures_are_still_told(gateway, lamp):
    await lamp.shows(100, QUIET)
    await lamp.clip(gray(200))
    keys = [frame.key for frame in lamp.clips[-1][1].frames]
    await gateway.city.bus.frames.unlink(*keys)
    await lamp.answer(-1, LOUD)
    (alert,) = await alerts(
        gateway, lambda items: items and items[0]["evidence"]["state"] != "pending"
    )
    assert alert["evidence"]["state"] == "lost"
    assert [frame["image"] for frame in alert["evidence"]["frames"]] == [None] * 3
    assert all(frame["error"] == LOUD for frame in alert["evidence"]["frames"])
