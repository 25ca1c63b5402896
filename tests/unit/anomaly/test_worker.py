"""Clips on the bus -> scores on the bus, with a model that can be computed by hand."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import httpx
import numpy as np
import pytest

from services.anomaly.app import create_app
from services.anomaly.settings import AnomalySettings
from shared.auth import KeyDirectory, Scope, make_key
from shared.images import decode, encode_jpeg
from shared.messages import ClipReady, ClipScored, FrameRef, LetterDied, Outcome, Polygon
from shared.model_store import ActivationMap
from shared.topics import CLIPS, DEAD, SCORES, Group, PartitionKeys
from tests.dummy_models import halving_autoencoder
from tests.unit.anomaly.test_blend import crossing, plus

SECOND = 1_000_000
START = 1_700_000_000 * SECOND


def gray(value: int, width: int = 160, height: int = 120) -> bytes:
    return encode_jpeg(np.full((height, width, 3), value, np.uint8), quality=100)


class Service:
    """The anomaly service in this process, and the clips that it is sent."""

    def __init__(self, app, bus, api) -> None:
        self.app, self.bus, self.api = app, bus, api
        self._seq = 0

    async def send(self, bodies, *, owned_from=0, short=False, masks=(), unwatched=()) -> str:
        """Publishes a clip as intake does; returns its entry."""
        frames = []
        for n, body in enumerate(bodies):
            key = f"frame.{START + n}.x.{len(body or b'')}:{{0}}:gate"
            if body is not None:
                await self.bus.frames.set(key, body, px=60_000)
            frames.append(FrameRef(key=key, captured_us=START + n * 200_000, width=160, height=120))
        clip = ClipReady(
            camera_id="gate",
            born=1,
            epoch=1,
            seq=self._seq,
            frames=tuple(frames),
            owned_from=owned_from,
            short=short,
            ready_us=START,
            expires_us=START + SECOND,
            masks=masks,
            unwatched=unwatched,
        )
        self._seq += 1
        keys = PartitionKeys(0)
        entry = await self.bus.publish(CLIPS, clip)
        await self.bus.redis.zadd(keys.open(Group.ANOMALY), {entry: time.time() * 1000})
        await self.bus.redis.hset(keys.holders, entry, 1)
        return entry

    async def serves(self, model: str) -> None:
        """Waits until the running service has heard which model scores the camera."""
        async with asyncio.timeout(20):
            while self.app.state.rack.name_for("gate") != model:
                await asyncio.sleep(0.02)

    async def outcomes(self, count: int) -> list[ClipScored]:
        async with asyncio.timeout(20):
            while True:
                found = await self.bus.redis.xrange(SCORES.key(0))
                if len(found) >= count:
                    return [ClipScored.unpack(fields[b"body"]) for _, fields in found]
                await asyncio.sleep(0.02)


@asynccontextmanager
async def running(bus, redis_server, folder, **changes):
    halving_autoencoder(folder / "models")
    halving_autoencoder(folder / "models", name="other")
    settings = AnomalySettings(
        bus_url=redis_server.url,
        citybrain_home=folder,
        models_folder=folder / "models",
        anomaly_model="halves",
        **changes,
    )
    app = create_app(settings)
    key = make_key()
    entry = {
        "key_id": "k",
        "name": "k",
        "scopes": [Scope.MODELS_USE],
        "cameras": None,
        "expires_us": None,
    }
    await KeyDirectory(bus.redis).put(key.digest, entry)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        headers = {"X-API-Key": key.secret}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://anomaly", headers=headers
        ) as api:
            yield Service(app, bus, api)


@pytest.fixture
async def service(bus, redis_server, tmp_path):
    async with running(bus, redis_server, tmp_path) as service:
        yield service


def squared_half(value: int) -> float:
    return (value / 255 / 2) ** 2


async def test_a_clip_is_scored_with_raw_errors_of_its_owned_frames(service):
    await service.send([gray(100)] * 12 + [gray(200)] * 4, owned_from=10)
    (scored,) = await service.outcomes(1)
    assert scored.outcome is Outcome.DONE
    errors = [score.error for score in scored.scores]
    expected = [squared_half(100)] * 2 + [squared_half(200)] * 4
    assert errors == pytest.approx(expected, rel=0.02)
    assert [score.captured_us for score in scored.scores] == list(scored.captured_us)
    assert (scored.context.model, scored.context.provider) == ("halves", scored.context.provider)
    assert scored.prior.q50 == 0.01


async def test_the_error_map_and_the_regions_show_where(service):
    picture = np.zeros((120, 160, 3), np.uint8)
    picture[:60, :80] = 255
    await service.send([encode_jpeg(picture, quality=100)] * 16)
    (scored,) = await service.outcomes(1)
    grid = np.frombuffer(scored.error_map.values, "<f2").reshape(16, 16)
    assert grid[:7, :7].min() > 0.2
    assert grid[9:, 9:].max() < 0.01
    (region,) = scored.scores[0].regions
    assert (region.x, region.y) == pytest.approx((0, 0), abs=5)
    assert (region.width, region.height) == pytest.approx((80, 60), abs=12)


async def test_the_worst_frame_comes_as_the_model_drew_it(service):
    await service.send([gray(100)] * 12 + [gray(200)] + [gray(100)] * 3)
    (scored,) = await service.outcomes(1)
    drawn = decode(scored.reconstruction, "gray")
    assert drawn.shape == (128, 128)
    assert drawn.mean() == pytest.approx(100, abs=2)
    assert all(score.parts == {} for score in scored.scores)


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
async def test_a_score_that_is_no_number_is_told_as_none(service, tmp_path, factor):
    halving_autoencoder(tmp_path / "models", name="other", factor=factor)
    await ActivationMap(service.bus.redis, "anomaly").activate(service.bus, "other", "gate")
    await service.serves("other")
    await service.send([gray(100)] * 16)
    (scored,) = await service.outcomes(1)
    assert (scored.outcome, scored.reason) == (Outcome.UNSCORED, "score_not_finite")
    response = await service.api.post(
        "/v1/score", params={"model": "other"}, **form([gray(1)] * 16)
    )
    assert (response.status_code, response.json()["code"]) == (422, "score_not_finite")


async def test_an_error_beyond_what_a_map_can_hold_stays_a_number(service, tmp_path):
    halving_autoencoder(tmp_path / "models", name="other", factor=1000.0)
    await ActivationMap(service.bus.redis, "anomaly").activate(service.bus, "other", "gate")
    await service.serves("other")
    await service.send([gray(200)] * 16)
    (scored,) = await service.outcomes(1)
    assert scored.scores[0].error > 65_504  # the most of a float16
    assert np.isfinite(np.frombuffer(scored.error_map.values, "<f2")).all()


async def test_masks_hide_before_anything_is_scored(service):
    left = Polygon(points=((0, 0), (0.5, 0), (0.5, 1), (0, 1)))
    right = Polygon(points=((0.5, 0), (1, 0), (1, 1), (0.5, 1)))
    await service.send([gray(255)] * 16, masks=(left, right))
    (scored,) = await service.outcomes(1)
    assert max(score.error for score in scored.scores) < 1e-3


async def test_nothing_counts_in_unwatched_regions(service):
    whole = Polygon(points=((0, 0), (1, 0), (1, 1), (0, 1)))
    await service.send([gray(255)] * 16, unwatched=(whole,))
    (scored,) = await service.outcomes(1)
    assert max(score.error for score in scored.scores) == 0.0


async def test_frames_may_change_their_size_within_a_clip(service):
    await service.send([gray(100)] * 8 + [gray(100, width=640, height=360)] * 8)
    (scored,) = await service.outcomes(1)
    assert [s.error for s in scored.scores] == pytest.approx([squared_half(100)] * 16, rel=0.03)


@pytest.mark.parametrize(
    ("bodies", "short", "outcome", "reason"),
    [
        ([gray(1)] * 5, True, Outcome.UNSCORED, "short"),
        ([gray(1)] * 15 + [None], False, Outcome.EXPIRED, "frames"),
        ([gray(1)] * 15 + [b"\xff\xd8\xff junk"], False, Outcome.UNSCORED, "image_truncated"),
        ([gray(1)] * 9, False, Outcome.UNSCORED, "clip_too_short"),
    ],
    ids=["short", "expired", "unreadable", "wrong length"],
)
async def test_a_clip_that_cannot_be_scored_says_why(service, bodies, short, outcome, reason):
    await service.send(bodies, short=short)
    (scored,) = await service.outcomes(1)
    assert (scored.outcome, scored.reason, scored.scores) == (outcome, reason, ())


async def test_an_unreadable_message_holds_nobody_up(service):
    await service.bus.redis.xadd(CLIPS.key(0), {"type": "ClipReady", "body": b"\xc1garbage"})
    await service.send([gray(1)] * 16)
    assert len(await service.outcomes(1)) == 1


async def test_another_model_is_taken_up_without_a_restart(service):
    await service.send([gray(1)] * 16)
    await service.outcomes(1)
    activations = ActivationMap(service.bus.redis, "anomaly")
    await activations.activate(service.bus, "other", camera_id="gate")
    await service.serves("other")
    await service.send([gray(1)] * 16)
    first, second = await service.outcomes(2)
    assert (first.context.model, second.context.model) == ("halves", "other")
    await activations.roll_back(service.bus, camera_id="gate")
    await service.serves("halves")
    await service.send([gray(1)] * 16)
    assert (await service.outcomes(3))[2].context.model == "halves"


async def test_a_clip_that_kills_its_handler_every_time_is_buried_with_its_frames(
    service, tmp_path
):
    # A file that is no longer its card's cannot be served: every attempt fails.
    activations = ActivationMap(service.bus.redis, "anomaly")
    (tmp_path / "models" / "other" / "model.onnx").write_bytes(b"broken")
    await activations.activate(service.bus, "other", camera_id="gate")
    await service.serves("other")
    await _hurry(service)
    await service.send([gray(9)] * 16)
    (scored,) = await service.outcomes(1)
    assert scored.outcome is Outcome.DEAD
    ((_, fields),) = await service.bus.redis.xrange(DEAD.key())
    letter = LetterDied.unpack(fields[b"body"])
    assert "sha256" in letter.error
    assert letter.group is Group.ANOMALY
    assert len(letter.frames) == 16
    for blob in letter.frames.values():
        assert (tmp_path / "blobs" / blob).read_bytes() == gray(9)


async def _hurry(service) -> None:
    """Makes every pending delivery count as its sixth, as if five workers had died of it."""

    async def redeliver():
        while True:
            pending = await service.bus.redis.xpending_range(CLIPS.key(0), "anomaly", "-", "+", 10)
            for entry in pending:
                await service.bus.redis.xclaim(
                    CLIPS.key(0),
                    "anomaly",
                    "ghost",
                    0,
                    [entry["message_id"]],
                    idle=60_000,
                    retrycount=6,
                    justid=True,
                )
            if pending:
                return
            await asyncio.sleep(0.01)

    service.redelivery = asyncio.create_task(redeliver())


def form(bodies) -> dict:
    return {"files": [("frames", (str(n), body, "image/jpeg")) for n, body in enumerate(bodies)]}


async def test_a_clip_may_be_scored_without_any_camera(service):
    response = await service.api.post(
        "/v1/score", params={"maps": True}, **form([gray(100)] * 15 + [gray(200)])
    )
    assert response.status_code == 200, response.text
    result = response.json()
    assert result["model"] == "halves"
    assert result["frames"][0]["error"] == pytest.approx(squared_half(100), rel=0.02)
    assert result["frames"][15]["error"] == pytest.approx(squared_half(200), rel=0.02)
    assert np.shape(result["frames"][15]["error_map"]) == (16, 16)
    assert result["frames"][15]["score"] > result["frames"][0]["score"]


async def test_what_judges_speed_may_be_told_how_fast_the_frames_were(bus, redis_server, tmp_path):
    plus(tmp_path / "models")
    bodies = [encode_jpeg(frame) for frame in crossing(3)]
    async with running(bus, redis_server, tmp_path) as service:

        async def errors(**rate):
            params = {"model": "plus", **rate}
            response = await service.api.post("/v1/score", params=params, **form(bodies))
            assert response.status_code == 200, response.text
            return [frame["error"] for frame in response.json()["frames"]]

        assert await errors(fps=10) == await errors()
        assert np.median(await errors(fps=3)) < np.median(await errors(fps=10))
        never = await service.api.post("/v1/score", params={"fps": 0}, **form(bodies))
        assert never.status_code == 422


@pytest.mark.parametrize(
    ("bodies", "status", "code"),
    [
        ([gray(1)] * 15, 422, "clip_length"),
        ([gray(1)] * 15 + [b"no image"], 415, "not_an_image"),
        ([gray(1)] * 15 + [gray(1)[:-50]], 422, "image_truncated"),
    ],
)
async def test_what_cannot_be_scored_is_refused(service, bodies, status, code):
    response = await service.api.post("/v1/score", **form(bodies))
    assert (response.status_code, response.json()["code"]) == (status, code)


async def test_an_unknown_model_is_named(service):
    response = await service.api.post("/v1/score", params={"model": "nix"}, **form([gray(1)] * 16))
    assert response.status_code == 404
    assert "halves" in response.json()["detail"]


async def test_the_service_is_ready_with_its_model_and_says_what_is_missing(
    bus, redis_server, tmp_path
):
    async with running(bus, redis_server, tmp_path) as service:
        async with asyncio.timeout(10):
            while (await service.api.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.05)
    (tmp_path / "models" / "halves" / "model.onnx").unlink()
    async with running_without_file(bus, redis_server, tmp_path) as api:
        await asyncio.sleep(0.5)
        response = await api.get("/readyz")
        assert response.status_code == 503
        assert "missing" in response.json()["reasons"]["model"]


@asynccontextmanager
async def running_without_file(bus, redis_server, folder):
    settings = AnomalySettings(
        bus_url=redis_server.url,
        citybrain_home=folder,
        models_folder=folder / "models",
        anomaly_model="halves",
    )
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://anomaly") as api,
    ):
        yield api
