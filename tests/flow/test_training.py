"""Frames in over HTTP, a model of the camera's own out: a real gateway, a real anomaly service."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from itertools import pairwise

import httpx
import psutil
import pytest

from services.anomaly.app import MIGRATIONS
from services.embedded.layout import free_port
from services.gateway.store.tables import TrainingRow
from shared.clock import from_us
from shared.database import migrate_once
from shared.images import encode_jpeg
from shared.recorded_clip import footage_of
from tests.tiny_stae import FPS, FRAMES, START_US, record, street, untaught
from tests.unit.gateway.conftest import running_gateway

LIVE, BEFORE, STEPS = 320, 3120, 60
"""Frames that come in while the test looks on, and of the quarter of an hour before."""

INTERVAL_US = 1_000_000 // FPS


class Street:
    """A camera that is pushed as fast as its frames are taken."""

    def __init__(self, gateway) -> None:
        self.gateway = gateway
        self.pushed = 0
        self.pictures = [encode_jpeg(frame) for frame in street(90)]

    async def push(self, frames: int) -> None:
        for _ in range(0, frames, 32):
            await self._push(range(self.pushed, self.pushed + 32))
            self.pushed += 32
        await self.gateway.until(
            "/v1/system/backlog",
            lambda b: b["streams"]["scores.v1"] == b["open_clips"]["anomaly"] == 0,
            timeout_s=60,
        )

    async def _push(self, numbers: range) -> None:
        files = [("frames", (f"{n}.jpg", self.pictures[n % 90], "image/jpeg")) for n in numbers]
        times = [{"captured_at": from_us(START_US + n * INTERVAL_US).isoformat()} for n in numbers]
        answer = await self.gateway.api.post(
            "/v1/cameras/gate/frames/batch", files=files, data={"metadata": json.dumps(times)}
        )
        assert answer.is_success, answer.text
        assert answer.json()["refused"] == []


@contextmanager
def anomaly_service(redis_url, home, port):
    environment = os.environ | {
        "CITYBRAIN_HOME": str(home),
        "MODELS_FOLDER": str(home / "shipped"),
        "ANOMALY_MODEL": "stae-tiny",
        "ANOMALY_ROLES": '["score", "train"]',
        "BUS_URL": redis_url,
        "PORT": str(port),
        "OMP_NUM_THREADS": "1",
        "INFERENCE_PROVIDER": "cpu",
    }
    with (home / "anomaly.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.anomaly"], env=environment, stdout=log, stderr=log
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(timeout=30)


@pytest.fixture
async def street_camera(redis_server, bus, tmp_path):
    """Its camera, in a city of a gateway and an anomaly service that trains."""
    untaught(tmp_path / "shipped")
    await migrate_once(f"sqlite+aiosqlite:///{tmp_path}/anomaly.db", MIGRATIONS)
    port = free_port("127.0.0.1")
    with anomaly_service(redis_server.url, tmp_path, port) as process:
        async with running_gateway(
            redis_server.url,
            tmp_path,
            models_folder=tmp_path / "shipped",
            training_url=f"http://127.0.0.1:{port}",
            clip_length=FRAMES,
            clip_stride=FRAMES,
            soft_backlog=600,
            hard_backlog=1000,
        ) as gateway:
            await gateway.add_camera(mode="archive")
            await ready(f"http://127.0.0.1:{port}/readyz")
            camera = Street(gateway)
            camera.service = psutil.Process(process.pid)
            yield camera


async def ready(url: str) -> None:
    deadline = time.monotonic() + 60
    async with httpx.AsyncClient() as client:
        while time.monotonic() < deadline:
            try:
                if (await client.get(url)).is_success:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)
    raise AssertionError(f"{url} does not become ready")


async def baseline(gateway) -> dict:
    return (await gateway.api.get("/v1/baselines/gate")).json()


async def begin(gateway, home) -> str:
    """A training that has recorded for most of its time; its URL."""
    asked = {"steps": STEPS, "learning_rate": 5e-3}
    answer = await gateway.api.post("/v1/baselines/gate/train", json=asked)
    assert answer.status_code == 202, answer.text
    training_id = answer.json()["id"]
    past_us = START_US - BEFORE * INTERVAL_US
    footage = footage_of("gate", training_id)
    await asyncio.to_thread(record, home / "blobs", footage, street(BEFORE), start_us=past_us)
    async with gateway.city.database.writing() as session:
        row = await session.get(TrainingRow, training_id)
        row.frames, row.frames_wanted = BEFORE, BEFORE + LIVE
    return answer.headers["location"]


def recorded_us(home) -> list[int]:
    """When each recorded clip of the live part begins."""
    keys = [int(path.name) for path in (home / "blobs" / "footage").rglob("*") if path.is_file()]
    return sorted(us for us in keys if us >= START_US)


async def test_a_camera_gets_weights_of_its_own_and_gives_them_back(street_camera, tmp_path):
    gateway = street_camera.gateway
    await street_camera.push(64)
    url = await begin(gateway, tmp_path)
    await asyncio.sleep(1.1)  # so long may a recorder not have heard of it
    await street_camera.push(LIVE)
    before = await baseline(gateway)
    assert (before["model"], before["learning"]) == ("stae-tiny", True)
    clips = recorded_us(tmp_path)
    assert len(clips) == LIVE / FRAMES
    assert {later - one for one, later in pairwise(clips)} == {FRAMES * INTERVAL_US}

    await gateway.until(url, lambda training: "step" in training["note"], timeout_s=120)
    (worker,) = street_camera.service.children()
    worker.send_signal(signal.SIGKILL)
    training = await gateway.until(url, lambda training: training["finished_at"], timeout_s=300)
    assert training["state"] == "succeeded", training["error"]
    result = training["result"]
    assert (result["better"], result["activated"]) == (True, True), result["why_not"]
    assert result["frames"] == BEFORE + LIVE
    assert not [path for path in (tmp_path / "blobs" / "footage").rglob("*") if path.is_file()]

    await street_camera.push(64)
    after = await baseline(gateway)
    assert (after["model"], after["learning"]) == ("stae-tiny-gate-1", True)
    cards = {card["name"]: card for card in (await gateway.api.get("/v1/models")).json()}
    own = cards["stae-tiny-gate-1"]
    assert own["settings"]["lineage"]["base_digest"] == cards["stae-tiny"]["sha256"]
    assert after["model_digest"] == own["sha256"]

    rolled_back = await gateway.api.post("/v1/baselines/gate/train/rollback")
    assert rolled_back.json()["before"] == "stae-tiny-gate-1"
    await street_camera.push(64)
    again = await baseline(gateway)
    assert again["model"] == "stae-tiny"
    assert again["frames"] == before["frames"] + 64, "what it had learnt stays"
