"""Clips on the bus -> tracklets on the bus -> persons, with an embedder that sees mean colours."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import httpx
import numpy as np
import pytest

from services.reid.app import create_app
from services.reid.gallery.schema import MIGRATIONS
from services.reid.settings import ReidSettings
from shared.auth import KeyDirectory, Scope, make_key
from shared.database import migrate_once
from shared.images import decode, encode_jpeg
from shared.mark import marked
from shared.messages import Box, ClipReady, FrameRef, Outcome, PersonsSighted, TrackletsEmbedded
from shared.topics import CLIPS, SIGHTINGS, TRACKLETS, CameraKeys, Group, PartitionKeys
from tests.dummy_models import colour_embedder

SECOND = 1_000_000
START = 1_700_000_000 * SECOND
STREET = np.random.default_rng(0).integers(90, 110, (240, 320, 3), dtype=np.uint8)
WHY = {"purpose": "a child is missing"}
RED, BLUE, GREEN = (200, 20, 20), (20, 20, 200), (20, 180, 20)


def scene(*people: tuple[float, tuple[int, int, int]]) -> bytes:
    """The street with figures 30 x 80 pixels large, at x and in a colour."""
    picture = STREET.copy()
    for x, colour in people:
        left = int(x)
        picture[100:180, max(left, 0) : left + 30] = colour
        picture[100:180:4, max(left, 0) : left + 30] = 240
    return encode_jpeg(picture, quality=95)


def box(x: float) -> Box:
    return Box(x=x, y=100, width=30, height=80)


class Service:
    def __init__(self, app, bus, api, folder) -> None:
        self.app, self.bus, self.api, self.folder = app, bus, api, folder
        self._seq: dict[str, int] = {}

    async def send(self, bodies, *, boxes=None, camera="gate", owned_from=0) -> None:
        """Publishes a clip as intake does."""
        seq = self._seq.get(camera, 0)
        self._seq[camera] = seq + 1
        frames = []
        for n, body in enumerate(bodies):
            at = START + (16 * seq + n) * 200_000
            key = f"frame.{at}.x.{len(body or b'')}:{{0}}:{camera}"
            if body is not None:
                await self.bus.frames.set(key, body, px=60_000)
            found = None if boxes is None else boxes[n]
            frames.append(FrameRef(key=key, captured_us=at, width=320, height=240, boxes=found))
        clip = ClipReady(
            camera_id=camera,
            born=1,
            epoch=1,
            seq=seq,
            frames=tuple(frames),
            owned_from=owned_from,
            ready_us=START,
            expires_us=START + SECOND,
        )
        keys = PartitionKeys(0)
        entry = await self.bus.publish(CLIPS, clip)
        await self.bus.redis.zadd(keys.open(Group.REID), {entry: time.time() * 1000})
        await self.bus.redis.hset(keys.holders, entry, 1)

    async def sighted(self, count: int) -> list[PersonsSighted]:
        async with asyncio.timeout(30):
            while True:
                found = await self.bus.redis.xrange(SIGHTINGS.key(0))
                if len(found) >= count:
                    return [PersonsSighted.unpack(fields[b"body"]) for _, fields in found]
                await asyncio.sleep(0.02)


@asynccontextmanager
async def running(bus, redis_server, folder, **changes):
    colour_embedder(folder / "models")
    settings = ReidSettings(
        bus_url=redis_server.url,
        citybrain_home=folder,
        models_folder=folder / "models",
        reid_model="colours",
        database_url="",
        **changes,
    )
    await migrate_once(settings.database_of("reid"), MIGRATIONS)
    app = create_app(settings)
    key = make_key()
    scopes = [Scope.MODELS_USE, Scope.PERSONS_SEARCH, Scope.PERSONS_READ]
    entry = {"key_id": "k", "name": "k", "scopes": scopes, "cameras": None, "expires_us": None}
    await KeyDirectory(bus.redis).put(key.digest, entry)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        headers = {"X-API-Key": key.secret}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://reid", headers=headers
        ) as api:
            yield Service(app, bus, api, folder)


@pytest.fixture
async def service(bus, redis_server, tmp_path):
    async with running(bus, redis_server, tmp_path) as service:
        yield service


async def test_people_whom_the_pushing_worker_found_are_taken_as_they_are(service):
    bodies = [scene((20 + 4 * n, RED), (200 - 4 * n, BLUE)) for n in range(16)]
    boxes = [(box(20 + 4 * n), box(200 - 4 * n)) for n in range(16)]
    await service.send(bodies, boxes=boxes)
    (outcome,) = await service.sighted(1)
    assert outcome.outcome is Outcome.DONE
    assert len(outcome.detected_us) == 16
    assert len({sighting.person_id for sighting in outcome.sightings}) == 2
    for sighting in outcome.sightings:
        assert len(sighting.detections) == 16
        crop = decode((service.folder / "blobs" / sighting.crop).read_bytes(), "rgb")
        assert crop.shape[:2] == (80, 30)


async def test_a_frame_that_was_looked_at_and_is_empty_is_not_searched_again(service):
    await service.send([scene((100, RED))] * 16, boxes=[()] * 16)
    (outcome,) = await service.sighted(1)
    assert outcome.sightings == ()
    assert len(outcome.detected_us) == 16


async def test_a_person_is_followed_from_clip_to_clip_and_to_another_camera(service):
    def walk(start, colour):
        return [scene((start + 4 * n, colour)) for n in range(16)]

    def boxes(start):
        return [(box(start + 4 * n),) for n in range(16)]

    await service.send(walk(10, RED), boxes=boxes(10))
    await service.send(walk(74, RED), boxes=boxes(74))
    await service.send(walk(10, GREEN), boxes=boxes(10), camera="door")
    await service.send(walk(200, RED), boxes=boxes(200), camera="door")
    outcomes = await service.sighted(4)
    persons = {
        (outcome.camera_id, outcome.seq): outcome.sightings[0].person_id for outcome in outcomes
    }
    assert persons["gate", 0] == persons["gate", 1] == persons["door", 1]
    assert persons["door", 0] != persons["gate", 0]


async def test_without_boxes_the_detector_looks_at_every_fourth_owned_frame(service):
    bodies = [scene((10 + 6 * n, RED)) for n in range(16)]
    await service.send(bodies, owned_from=4)
    (outcome,) = await service.sighted(1)
    owned = [START + n * 200_000 for n in range(4, 16)]
    assert list(outcome.detected_us) == owned[::4]


async def test_what_the_detector_learns_of_a_camera_outlives_the_process(service, bus):
    memory = CameraKeys("gate", 0).memory("detector")
    for clip in range(2):
        await service.send([scene((10 + 12 * n, RED)) for n in range(16)])
        await service.sighted(clip + 1)
    assert await bus.redis.hget(memory, "seq") == b"1"
    assert len(await bus.redis.hget(memory, "value")) > 1_000


@pytest.mark.parametrize(
    ("bodies", "outcome", "reason"),
    [
        ([scene()] * 15 + [None], Outcome.EXPIRED, "frames"),
        ([scene()] * 15 + [b"\xff\xd8\xff junk"], Outcome.UNSCORED, "image_truncated"),
        ([scene()] * 15 + [marked(scene((20, RED)))], Outcome.UNSCORED, "synthetic_image"),
    ],
)
async def test_a_clip_without_its_pictures_says_why(service, bodies, outcome, reason):
    await service.send(bodies)
    (told,) = await service.sighted(1)
    assert (told.outcome, told.reason, told.sightings) == (outcome, reason, ())


async def test_an_empty_street_has_an_outcome_too(service):
    await service.send([scene()] * 16)
    (outcome,) = await service.sighted(1)
    assert (outcome.outcome, outcome.sightings) == (Outcome.DONE, ())


async def test_when_all_is_said_nothing_of_the_clip_is_kept(service, bus):
    await service.send([scene()] * 16)
    await service.sighted(1)
    async with asyncio.timeout(5):
        while await bus.backlog(TRACKLETS):
            await asyncio.sleep(0.02)
    assert await bus.backlog(CLIPS) == 0


def crop(colour) -> bytes:
    return encode_jpeg(np.full((80, 30, 3), colour, np.uint8), quality=95)


async def test_crops_become_unit_vectors_in_their_order(service):
    files = [("crops", ("r", crop(RED), "image/jpeg")), ("crops", ("b", crop(BLUE), "image/jpeg"))]
    response = await service.api.post("/v1/embeddings", files=files)
    assert response.status_code == 200, response.text
    vectors = np.array(response.json()["vectors"])
    assert vectors.shape == (2, 256)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1], abs=1e-5)
    assert vectors[0].argmax() == 0
    assert vectors[1].argmax() == 2


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"no image", 415, "not_an_image"),
        (crop(RED)[:-60], 422, "image_truncated"),
        (encode_jpeg(np.zeros((16, 400, 3), np.uint8)), 422, "crop_aspect"),
    ],
)
async def test_crops_that_show_nobody_are_refused(service, body, status, code):
    response = await service.api.post(
        "/v1/embeddings", files=[("crops", ("x", body, "image/jpeg"))]
    )
    assert (response.status_code, response.json()["code"]) == (status, code)


async def test_the_gallery_is_searched_by_image(service):
    bodies = [scene((20, RED), (200, BLUE))] * 16
    await service.send(bodies, boxes=[(box(20), box(200))] * 16)
    (outcome,) = await service.sighted(1)
    blue = max(outcome.sightings, key=lambda s: s.detections[0].box.x)
    async with asyncio.timeout(5):
        while True:
            response = await service.api.post(
                "/v1/gallery/search",
                params=WHY,
                content=crop(BLUE),
                headers={"Content-Type": "image/jpeg"},
            )
            if response.json()["persons"]:
                break
            await asyncio.sleep(0.05)
    answer = response.json()
    assert answer["persons"][0]["person_id"] == blue.person_id
    assert answer["persons"][0]["confidence"] > answer["persons"][1]["confidence"]
    assert (answer["mode"], answer["recall"], answer["searched"]) == ("exact", 1.0, 2)
    elsewhere = await service.api.post(
        "/v1/gallery/search",
        params=WHY | {"camera_ids": "door"},
        content=crop(BLUE),
        headers={"Content-Type": "image/jpeg"},
    )
    assert elsewhere.json()["persons"] == []
    stats = (await service.api.get("/v1/gallery/stats")).json()
    assert (stats["tracklets"], stats["persons"]) == (2, 2)


async def test_no_made_image_is_searched_for_but_it_is_embedded(service):
    made = marked(crop(BLUE))
    refused = await service.api.post(
        "/v1/gallery/search",
        params=WHY,
        content=made,
        headers={"Content-Type": "image/jpeg"},
    )
    assert (refused.status_code, refused.json()["code"]) == (422, "synthetic_image")
    files = [("crops", ("m", made, "image/jpeg")), ("crops", ("r", crop(BLUE), "image/jpeg"))]
    answer = await service.api.post("/v1/embeddings", files=files)
    as_made, as_real = answer.json()["vectors"]
    assert as_made == as_real


async def test_a_second_process_stands_by(bus, redis_server, tmp_path):
    async with (
        running(bus, redis_server, tmp_path) as first,
        running(bus, redis_server, tmp_path) as second,
    ):
        for service in (first, second):
            async with asyncio.timeout(20):
                while (await service.api.get("/readyz")).status_code != 200:
                    await asyncio.sleep(0.05)
        await first.send([scene((20, RED))] * 16, boxes=[(box(20),)] * 16)
        (outcome,) = await first.sighted(1)
        assert len(outcome.sightings) == 1


async def test_embedding_and_gallery_may_be_separate_processes(bus, redis_server, tmp_path):
    async with running(bus, redis_server, tmp_path, reid_roles=["embed"]) as embed:
        await embed.send([scene((20, RED))] * 16, boxes=[(box(20),)] * 16)
        async with asyncio.timeout(20):
            while not (found := await bus.redis.xrange(TRACKLETS.key(0))):
                await asyncio.sleep(0.02)
        assert len(TrackletsEmbedded.unpack(found[0][1][b"body"]).tracklets) == 1
        assert await bus.redis.xlen(SIGHTINGS.key(0)) == 0
    async with running(bus, redis_server, tmp_path, reid_roles=["gallery"]) as gallery:
        (outcome,) = await gallery.sighted(1)
        assert len(outcome.sightings) == 1
