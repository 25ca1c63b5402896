"""Clips into the anomaly service, in a process of its own -> how many a second come out of it."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import numpy as np
import psutil

from services.embedded.layout import free_port
from services.synthetic.city import City, CityPlan
from shared.bus import Bus
from shared.messages import ClipReady, ClipScored, FrameRef, Outcome, Polygon
from shared.topics import CLIPS, SCORES, Group, PartitionKeys
from tests.benchmarks.rounds import Turn

SECOND = 1_000_000
START = 1_700_000_000 * SECOND
HOUR_MS = 3_600_000
CAMERAS = 8
ROAD = Polygon(points=((0.0, 0.8), (1.0, 0.8), (1.0, 1.0), (0.0, 1.0)))
READY_S = 120.0
GIVE_UP_S = 300.0


class AnomalyProcess:
    """`python -m services.anomaly` as anybody starts it, on a bus of its own.

    bus_url: a Redis database in which nobody else works. bodies: the frames of every clip, as JPEG.
    in_hand: clips that are in the service's hands at its busiest; the rate is taken between them.
    """

    def __init__(
        self, folder: Path, bus_url: str, models: Path, bodies: Sequence[bytes], **settings: object
    ) -> None:
        self.bus = Bus(bus_url)
        self._bodies = bodies
        port = free_port("127.0.0.1")
        self._ready_url = f"http://127.0.0.1:{port}/readyz"
        self._environment = os.environ | {
            "CITYBRAIN_HOME": str(folder),
            "MODELS_FOLDER": str(models),
            "BUS_URL": bus_url,
            "PORT": str(port),
            "LOG_LEVEL": "warning",
            # As the embedded city and the containers have it.
            "OMP_NUM_THREADS": "1",
            **{name.upper(): str(value) for name, value in settings.items()},
        }
        self._process: asyncio.subprocess.Process | None = None
        self._frames: tuple[FrameRef, ...] = ()
        self._first = 0

    async def __aenter__(self) -> AnomalyProcess:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.anomaly", env=self._environment
        )
        await self._place_frames()
        async with asyncio.timeout(READY_S), httpx.AsyncClient() as client:
            while True:
                try:
                    if (await client.get(self._ready_url)).status_code == 200:
                        return self
                except httpx.HTTPError:
                    assert self._process.returncode is None, "the service has ended"
                await asyncio.sleep(0.2)

    async def __aexit__(self, *_: object) -> None:
        self._process.terminate()
        await asyncio.wait_for(self._process.wait(), timeout=30)
        await self.bus.close()

    async def _place_frames(self) -> None:
        frames = []
        for number, body in enumerate(self._bodies):
            key = f"frame.{number}.{len(body)}:{{0}}:street"
            await self.bus.frames.set(key, body, px=HOUR_MS)
            frames.append(
                FrameRef(key=key, captured_us=START + number * SECOND // 5, width=320, height=240)
            )
        self._frames = tuple(frames)

    async def turn(self, clips: int, in_hand: int) -> Turn:
        """Clips a second while the service always has some before it: the first and the last
        `in_hand` outcomes, when it was not full yet or no longer, are left out."""
        await self.bus.redis.delete(SCORES.key(0))
        spent_s = await self._processor_s()
        for seq in range(clips):
            await self._publish(seq)
        self._first += clips
        outcomes = await self._outcomes(clips)
        assert {scored.outcome for _, scored in outcomes} == {Outcome.DONE}
        told_s = [moment for moment, _ in outcomes][in_hand - 1 : clips - in_hand + 1]
        return Turn(
            per_s=(len(told_s) - 1) / (told_s[-1] - told_s[0]),
            core_ms=1000 * (await self._processor_s() - spent_s) / clips,
        )

    async def _processor_s(self) -> float:
        own = psutil.Process(self._process.pid).cpu_times()
        redis = await self.bus.redis.info("cpu")
        return own.user + own.system + redis["used_cpu_user"] + redis["used_cpu_sys"]

    async def _publish(self, seq: int) -> None:
        """As intake does, but of the same frames: what costs the worker is fetching them."""
        clip = ClipReady(
            camera_id=f"street-{seq % CAMERAS}",
            born=1,
            epoch=1,
            seq=self._first + seq,
            frames=self._frames,
            owned_from=0,
            ready_us=START,
            expires_us=START + SECOND,
            unwatched=(ROAD,),
        )
        keys = PartitionKeys(0)
        async with self.bus.redis.pipeline() as pipe:
            # The group owes an outcome for what is in this set, and it must be in it when it comes.
            entry = f"{int(time.time() * 1000)}-{seq + 1}"
            pipe.zadd(keys.open(Group.ANOMALY), {entry: time.time() * 1000})
            pipe.hset(keys.holders, entry, 1)
            pipe.xadd(CLIPS.key(0), {"type": "ClipReady", "body": clip.pack()}, id=entry)
            await pipe.execute()

    async def _outcomes(self, clips: int) -> list[tuple[float, ClipScored]]:
        """When each was told, by Redis's clock in seconds, and what."""
        async with asyncio.timeout(GIVE_UP_S):
            while await self.bus.redis.xlen(SCORES.key(0)) < clips:
                await asyncio.sleep(0.2)
        return [
            (int(entry.split(b"-")[0]) / 1000, ClipScored.unpack(fields[b"body"]))
            for entry, fields in await self.bus.redis.xrange(SCORES.key(0))
        ]


def street(frames: int) -> list[np.ndarray]:
    """A clip of the simulated city, 5 frames a second of 320 x 240 pixels."""
    city = City(CityPlan(seed=3, duration_s=20))
    step = round(city.plan.fps / 5)
    return [city.frame(city.cameras[0].id, 100 + step * number) for number in range(frames)]
