"""What cameras should not send, pushed over HTTP, scored by the real worker, told by REST.

The model halves every pixel, so that an error tells which gray level it has seen.
"""

from __future__ import annotations

import io
import struct
import time
import zlib
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from tests.dummy_models import halving_autoencoder
from tests.unit.anomaly.test_worker import running, squared_half
from tests.unit.gateway.conftest import running_gateway

FPS = 30
SECOND = 1_000_000
DAY_S = 24 * 3600


class Street:
    """A gateway with one camera, `gate`, and what becomes of its frames."""

    def __init__(self, gateway) -> None:
        self.gateway = gateway
        self.api = gateway.api
        self._newest_s = 0.0

    async def push(self, body: bytes, captured_s: float):
        kind = "image/png" if body.startswith(b"\x89PNG") else "image/jpeg"
        moment = datetime.fromtimestamp(captured_s, UTC).isoformat()
        return await self.api.post(
            "/v1/cameras/gate/frames",
            content=body,
            headers={"Content-Type": kind},
            params={"captured_at": moment},
        )

    async def clip(self, bodies: list[bytes], interval_s: float = 1 / FPS) -> None:
        """Pushes frames that must all be taken: up to now, and after those of before."""
        first_s = max(time.time() - len(bodies) * interval_s, self._newest_s)
        for n, body in enumerate(bodies, start=1):
            self._newest_s = first_s + n * interval_s
            response = await self.push(body, self._newest_s)
            assert response.status_code == 202, response.text

    async def account(self) -> dict:
        """The camera's frames once none is in flight any more: they add up."""
        status = await self.gateway.until(
            "/v1/cameras/gate/status",
            lambda s: s["account"]["groups"]["anomaly"]["in_flight"] == 0,
            timeout_s=20,
        )
        account = status["account"]
        outcomes = account["groups"]["anomaly"]
        assert account["accepted"] == account["thinned"] + sum(outcomes.values())
        return account | {name: n for name, n in outcomes.items() if n}

    async def curve(self) -> dict:
        return (
            await self.api.get("/v1/cameras/gate/timeline?start_time=2000-01-01T00:00:00Z")
        ).json()


@asynccontextmanager
async def street_on(redis_server, folder, **camera):
    async with running_gateway(redis_server.url, folder) as gateway:
        await gateway.add_camera(analysis_fps=FPS, **camera)
        yield Street(gateway)


@pytest.fixture
async def street(bus, redis_server, tmp_path):
    async with street_on(redis_server, tmp_path) as street, running(bus, redis_server, tmp_path):
        yield street


def packed(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": 95} if kind == "JPEG" else {}) | options)
    return buffer.getvalue()


def gray(value: int = 100, size: tuple[int, int] = (160, 120)) -> Image.Image:
    return Image.new("L", size, value)


def turned() -> bytes:
    """Its left half is white as it is stored; EXIF asks that it be shown turned by a quarter."""
    image = gray(0)
    image.paste(255, (0, 0, 80, 120))
    exif = Image.Exif()
    exif[0x0112] = 6
    return packed(image, exif=exif)


def see_through() -> bytes:
    """Gray 100 that is fully transparent."""
    return packed(Image.merge("LA", [gray(100), gray(0)]), "PNG")


def deep() -> bytes:
    """Sixteen bits a pixel."""
    return packed(Image.fromarray(np.full((120, 160), 100 * 257, np.uint16)), "PNG")


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"\x89PNG\r\n\x1a\n"
    for kind, content in chunks:
        crc = struct.pack(">I", zlib.crc32(kind + content))
        body += struct.pack(">I", len(content)) + kind + content + crc
    return body


HEADER = (b"IHDR", struct.pack(">IIBBBBB", 160, 120, 8, 0, 0, 0, 0))
HOLLOW = png(HEADER, (b"IEND", b""))
GARBLED = png(HEADER, (b"IDAT", b"no pixels, but with a good checksum"), (b"IEND", b""))


def endless() -> bytes:
    """A progressive JPEG whose last scan is said a hundred times over."""
    body = packed(gray(), progressive=True)
    scan = body[body.rfind(b"\xff\xda") : -2]
    return body[:-2] + scan * 100 + b"\xff\xd9"


@pytest.mark.parametrize(
    "body",
    [
        packed(gray()),
        packed(gray(), progressive=True),
        packed(gray().convert("RGB").convert("CMYK")),
        packed(gray(), "PNG"),
        see_through(),
        deep(),
        packed(gray().convert("RGBA"), "PNG"),
        packed(gray(100, (4000, 16))),
    ],
    ids=["jpeg", "progressive", "cmyk", "png", "alpha", "16 bits", "rgba", "4000x16"],
)
async def test_unusual_pictures_are_seen_as_they_are(street, body):
    await street.clip([body] * 16)
    assert (await street.account())["done"] == 16
    errors = [point["error"] for point in (await street.curve())["points"]]
    assert errors == pytest.approx([squared_half(100)] * 16, rel=0.03)


async def test_the_exif_orientation_is_not_followed(street):
    await street.clip([packed(gray(0))] * 16 + [turned()] * 64)
    page = await street.gateway.until(
        "/v1/alerts", lambda page: page["items"] and page["items"][0]["regions"]
    )
    (region,) = page["items"][0]["regions"]
    assert (region["x"], region["y"]) == pytest.approx((0, 0), abs=5)
    assert (region["width"], region["height"]) == pytest.approx((80, 120), abs=12)
    assert (await street.account())["done"] == 80


async def test_black_frames_are_frames(street):
    await street.clip([packed(gray(0))] * 32)
    assert (await street.account())["done"] == 32
    assert {point["error"] for point in (await street.curve())["points"]} == {0.0}


async def test_a_camera_may_change_its_size_in_mid_stream(street):
    await street.clip([packed(gray(100))] * 8 + [packed(gray(100, (640, 360)))] * 8)
    assert (await street.account())["done"] == 16
    errors = [point["error"] for point in (await street.curve())["points"]]
    assert errors == pytest.approx([squared_half(100)] * 16, rel=0.03)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (packed(gray(100, (1, 1))), 422, "image_too_small"),
        (packed(gray(100, (4000, 8))), 422, "image_too_small"),
        (packed(gray(100, (16_385, 16)), "PNG"), 413, "image_too_long"),
        (endless(), 413, "image_too_many_scans"),
        (HOLLOW, 422, "image_truncated"),
        (packed(gray())[:-80], 422, "image_truncated"),
    ],
    ids=["1x1", "4000x8", "16385x16", "endless", "hollow", "cut"],
)
async def test_what_cannot_be_a_frame_is_refused_and_counted(street, body, status, code):
    response = await street.push(body, time.time())
    assert (response.status_code, response.json()["code"]) == (status, code)
    account = await street.account()
    assert (account["accepted"], account["refused"]) == (0, {code: 1})


async def test_one_frame_that_cannot_be_decoded_costs_its_clip_and_nothing_else(street):
    good = packed(gray())
    await street.clip([good] * 5 + [GARBLED] + [good] * 26)
    account = await street.account()
    assert (account["unscored"], account["done"]) == (16, 16)
    curve = await street.curve()
    assert [gap["reason"] for gap in curve["unscored"]] == ["image_truncated"]


async def test_a_thousand_frames_a_second_are_thinned(street):
    await street.clip([packed(gray())] * 600, interval_s=0.001)
    account = await street.account()
    assert account["accepted"] == 600
    assert account["thinned"] == pytest.approx(600 * (1 - FPS / 1000), abs=2)
    assert account["done"] + account.get("unscored", 0) == 600 - account["thinned"]


async def test_a_camera_of_one_frame_has_it_told_as_unscored(street):
    await street.clip([packed(gray())])
    assert (await street.account())["unscored"] == 1
    assert (await street.curve())["unscored"][0]["reason"] == "short"


async def test_one_frame_a_day_is_never_taken_for_a_clip(bus, redis_server, tmp_path):
    async with (
        street_on(redis_server, tmp_path, mode="archive") as street,
        running(bus, redis_server, tmp_path),
    ):
        await street.clip([packed(gray())] * 20, interval_s=DAY_S)
        account = await street.account()
        assert (account["accepted"], account["unscored"]) == (20, 20)
        assert {gap["reason"] for gap in (await street.curve())["unscored"]} == {"short"}


async def test_a_camera_whose_clock_begins_in_1970_is_not_taken_for_one_without(
    bus, redis_server, tmp_path
):
    async with street_on(redis_server, tmp_path, mode="archive") as street:
        response = await street.push(packed(gray()), 0)
        assert response.json()["captured_at"] == "1970-01-01T00:00:00Z"


async def test_a_network_that_overflows_is_told_and_teaches_the_baseline_nothing(street, tmp_path):
    halving_autoencoder(tmp_path / "models", name="overflows", factor=float("nan"))
    await street.clip([packed(gray())] * 16)
    before = (await street.account())["done"]
    activation = {"service": "anomaly", "model": "overflows", "camera_id": "gate"}
    response = await street.api.post("/v1/models/activations", json=activation)
    assert response.status_code == 202, response.text
    await street.gateway.until(
        "/v1/models/activations", lambda found: found["anomaly"].get("gate") == "overflows"
    )
    for _ in range(20):
        await street.clip([packed(gray())] * 16)
        account = await street.account()
        if account.get("unscored"):
            break
    assert account["unscored"] == 16
    curve = await street.curve()
    assert curve["unscored"][0]["reason"] == "score_not_finite"
    assert len(curve["points"]) == account["done"] >= before


async def test_frames_whose_bytes_were_lost_before_their_turn_are_told_as_expired(
    bus, redis_server, tmp_path
):
    async with street_on(redis_server, tmp_path) as street:
        await street.clip([packed(gray())] * 16)
        keys = [key async for key in bus.frames.scan_iter("frame.*")]
        await bus.frames.unlink(keys[3])
        async with running(bus, redis_server, tmp_path):
            assert (await street.account())["expired"] == 16
