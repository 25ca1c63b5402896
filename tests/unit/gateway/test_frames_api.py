from __future__ import annotations

import io
import json
import struct
import time
import zlib
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from shared.images import encode_jpeg
from shared.mark import marked
from shared.messages import ClipReady
from shared.topics import CLIPS, Group

JPEG = {"Content-Type": "image/jpeg"}


def picture(seed: int = 0, width: int = 64, height: int = 48) -> bytes:
    rng = np.random.default_rng(seed)
    return encode_jpeg(rng.integers(0, 255, (height, width, 3), dtype=np.uint8))


def png() -> bytes:
    packed = io.BytesIO()
    Image.new("RGB", (64, 48), (10, 200, 30)).save(packed, "PNG")
    return packed.getvalue()


def bomb() -> bytes:
    """A PNG of a few hundred bytes whose header promises 50,000 x 50,000 pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 100_000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


@pytest.fixture
async def gate(gateway):
    await gateway.add_camera()
    return gateway


async def push(gate, body=None, at=None, headers=JPEG):
    at = time.time() if at is None else at
    return await gate.api.post(
        "/v1/cameras/gate/frames",
        params={"captured_at": at},
        content=picture() if body is None else body,
        headers=headers,
    )


async def refusals(gate) -> dict[str, int]:
    return (await gate.api.get("/v1/cameras/gate/status")).json()["account"]["refused"]


async def test_a_jpeg_and_a_png_are_taken(gate):
    now = time.time()
    first = await push(gate, at=now - 2)
    second = await push(gate, png(), at=now - 1, headers={"Content-Type": "image/png"})
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["disposition"] == "accepted"
    assert first.json()["captured_at"].endswith("Z")


async def test_a_multipart_frame_carries_its_time_and_its_people(gate):
    at = datetime.now(UTC)
    metadata = {
        "captured_at": at.isoformat(),
        "boxes": [{"x": 1, "y": 2, "width": 10, "height": 30}],
    }
    for n in range(16):
        metadata["captured_at"] = datetime.fromtimestamp(
            at.timestamp() - 4 + n / 5, UTC
        ).isoformat()
        response = await gate.api.post(
            "/v1/cameras/gate/frames",
            files={"frame": ("f.jpg", picture(n), "image/jpeg")},
            data={"metadata": json.dumps(metadata)},
        )
        assert response.status_code == 202, response.text
    ((_, fields),) = await gate.city.bus.redis.xrange(CLIPS.key(0))
    clip = ClipReady.unpack(fields[b"body"])
    assert [len(frame.boxes) for frame in clip.frames] == [1] * 16
    assert (clip.frames[0].width, clip.frames[0].height) == (64, 48)


async def test_boxes_and_time_may_come_as_headers(gate):
    moment = datetime.now(UTC)
    headers = JPEG | {
        "X-Captured-At": moment.isoformat(),
        "X-Person-Boxes": json.dumps([{"x": 0, "y": 0, "width": 5, "height": 9}]),
    }
    response = await gate.api.post("/v1/cameras/gate/frames", content=picture(), headers=headers)
    assert response.status_code == 202
    assert datetime.fromisoformat(response.json()["captured_at"]) == moment


async def test_a_repeated_frame_gets_its_first_answer(gate):
    at = time.time()
    first = await push(gate, at=at)
    again = await push(gate, at=at)
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    account = (await gate.api.get("/v1/cameras/gate/status")).json()["account"]
    assert (account["accepted"], account["repeated"]) == (1, 1)


def truncated() -> bytes:
    return picture(3)[:-400]


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"GIF89a nothing of the kind", JPEG, 415, "not_an_image"),
        (b"", JPEG, 415, "not_an_image"),
        (truncated(), JPEG, 422, "image_truncated"),
        (png()[:60], JPEG, 422, "image_truncated"),
        (bomb(), {"Content-Type": "image/png"}, 413, "image_too_many_pixels"),
        (picture(width=8, height=8), JPEG, 422, "image_too_small"),
        (b"\xff\xd8\xff" + b"0" * 9_000_000, JPEG, 413, "image_too_large"),
        (picture(), {"Content-Type": "text/plain"}, 415, "not_an_image"),
        (marked(picture()), JPEG, 422, "synthetic_image"),
        (marked(png()), {"Content-Type": "image/png"}, 422, "synthetic_image"),
    ],
    ids=[
        "gif",
        "empty",
        "cut jpeg",
        "cut png",
        "bomb",
        "tiny",
        "oversized",
        "text",
        "made",
        "made png",
    ],
)
async def test_what_is_no_whole_image_within_limits_is_refused_and_counted(
    gate, body, headers, status, code
):
    response = await push(gate, body, headers=headers)
    problem = response.json()
    assert (response.status_code, problem["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["detail"]
    assert await refusals(gate) == {code: 1}


@pytest.mark.parametrize(
    ("age_s", "status", "code"),
    [
        (-60, 422, "frame_in_future"),
        (2 * 3600, 422, "frame_too_old"),
        (30, 409, "frame_late"),
    ],
)
async def test_a_time_that_cannot_be_taken_is_refused_and_counted(gate, age_s, status, code):
    now = time.time()
    await push(gate, at=now)
    response = await push(gate, picture(1), at=now - age_s)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert sum((await refusals(gate)).values()) == 1


async def test_a_box_outside_of_the_frame_is_refused(gate):
    headers = JPEG | {"X-Person-Boxes": '[{"x": 500, "y": 0, "width": 5, "height": 9}]'}
    response = await push(gate, headers=headers)
    assert (response.status_code, response.json()["code"]) == (422, "box_outside")


async def test_malformed_metadata_names_its_field(gate):
    response = await gate.api.post(
        "/v1/cameras/gate/frames",
        files={"frame": ("f.jpg", picture(), "image/jpeg")},
        data={"metadata": '{"boxes": [{"x": 1, "y": 1, "width": -4, "height": 1}]}'},
    )
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "metadata.boxes.0.width"


async def test_a_time_without_a_zone_is_refused(gate):
    response = await push(gate, at="2026-01-01T00:00:00")
    assert (response.status_code, response.json()["code"]) == (422, "time_without_zone")


async def test_frames_of_an_unknown_camera_are_refused_with_the_cure(gate):
    response = await gate.api.post("/v1/cameras/nix/frames", content=picture(), headers=JPEG)
    assert response.status_code == 404
    assert "POST /v1/cameras" in response.json()["detail"]


def batch_of(frames: list[tuple[bytes, float]]) -> dict:
    return {
        "files": [("frames", (str(n), body, "image/jpeg")) for n, (body, _) in enumerate(frames)],
        "data": {"metadata": json.dumps([{"captured_at": at} for _, at in frames])},
    }


async def test_in_a_batch_a_bad_frame_does_not_hold_up_the_others(gate):
    now = time.time()
    frames = [(picture(n), now - 3 + n / 5) for n in range(5)]
    frames[2] = (b"junk", frames[2][1])
    response = await gate.api.post("/v1/cameras/gate/frames/batch", **batch_of(frames))
    assert response.status_code == 202
    result = response.json()
    assert len(result["accepted"]) == 4
    assert [(r["index"], r["code"]) for r in result["refused"]] == [(2, "not_an_image")]
    assert await refusals(gate) == {"not_an_image": 1}


async def test_a_batch_without_its_metadata_is_refused(gate):
    frames = batch_of([(picture(), time.time())])
    response = await gate.api.post("/v1/cameras/gate/frames/batch", files=frames["files"])
    assert (response.status_code, response.json()["code"]) == (422, "batch_incomplete")


async def test_under_lag_pushing_is_answered_with_429_and_how_long_to_wait(start_gateway):
    async with start_gateway(soft_backlog=1, hard_backlog=2) as gate:
        await gate.add_camera()
        start = time.time() - 100
        answers = [await push(gate, picture(n), at=start + n / 5) for n in range(48)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(refused) == 16
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
        assert refused[0].json()["code"] == "overloaded"
        frames = [(picture(n), start + 10 + n / 5) for n in range(3)]
        batch = await gate.api.post("/v1/cameras/gate/frames/batch", **batch_of(frames))
        assert (batch.status_code, batch.json()["done"]) == (429, 0)
        assert await gate.city.bus.open_clips(Group.ANOMALY) == 2


async def test_bytes_of_frames_that_nobody_needs_are_not_kept(gate):
    now = time.time()
    for n in range(10):
        await push(gate, picture(n), at=now - 2 + n / 10)
    await push(gate, picture(99), at=now - 60)
    kept = [key async for key in gate.city.bus.frames.scan_iter("frame.*")]
    account = (await gate.api.get("/v1/cameras/gate/status")).json()["account"]
    assert account["thinned"] == 5
    assert len(kept) == account["accepted"] - account["thinned"]


async def test_the_snapshot_is_the_newest_frame_with_its_masks_black(gateway):
    corner = {"points": [[0, 0], [0.5, 0], [0.5, 0.5], [0, 0.5]]}
    await gateway.add_camera(masks=[corner])
    assert (await gateway.api.get("/v1/cameras/gate/snapshot")).status_code == 404
    bright = encode_jpeg(np.full((48, 64, 3), 255, np.uint8))
    await push(gateway, bright)
    response = await gateway.api.get("/v1/cameras/gate/snapshot")
    shown = np.asarray(Image.open(io.BytesIO(response.content)))
    assert shown[:20, :28].max() < 30
    assert shown[28:, 36:].min() > 225


async def test_the_skew_of_a_slow_clock_is_measured(gate):
    slowest_s = 0.0
    for n in range(5):
        began = time.time()
        await push(gate, picture(n), at=began - 30)
        slowest_s = max(slowest_s, time.time() - began)
    status = (await gate.api.get("/v1/cameras/gate/status")).json()
    assert 29.99 < status["skew_s"] < 30.01 + slowest_s, "what lies between is the way here"


async def test_nobody_is_searched_for_by_a_made_image(gate):
    answer = await gate.api.post(
        "/v1/persons/search",
        files={"image": ("crop.jpg", marked(picture()), "image/jpeg")},
        data={"purpose": "to find whom a model has drawn"},
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "synthetic_image")
