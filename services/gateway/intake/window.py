"""A judged frame -> its camera's window -> ClipReady on clips.v1, in one atomic step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ormsgpack

from services.gateway.core.camera import Camera, CameraMode
from shared.scripts import load_script
from shared.topics import (
    REQUIRED_GROUPS,
    SHEDDABLE_GROUPS,
    TRACKLETS,
    CameraKeys,
    PartitionKeys,
    partition_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.gateway.settings import GatewaySettings
    from shared.bus import Bus
    from shared.messages import FrameRef

LUA = Path(__file__).parent / "lua"
SECOND_US = 1_000_000

PATIENCE = 1.5
"""A window is overdue after this many times the span that it should take to fill (ours)."""


@dataclass(frozen=True)
class Answer:
    """What the window said to a frame.

    status: accepted, thinned, refused (then `reason` is late, future, stale or conflict) or
    overloaded (then it is backlog, age or bytes). unneeded: nobody holds the frame's bytes.
    """

    status: str
    epoch: int
    published: int
    unneeded: bool
    freed: tuple[str, ...]
    reason: str | None = None
    retry_after_s: int = 1


class Windows:
    """The windows of all cameras, kept in Redis and moved by scripts: any gateway may call."""

    def __init__(self, bus: Bus, settings: GatewaySettings) -> None:
        self._bus = bus
        self._settings = settings
        prelude = LUA / "window.lua"
        self._accept = load_script(bus.redis, prelude, LUA / "accept.lua")
        self._sweep = load_script(bus.redis, prelude, LUA / "sweep.lua")
        self._forget = load_script(bus.redis, prelude, LUA / "forget.lua")

    def keys(self, camera_id: str) -> CameraKeys:
        return CameraKeys(camera_id, partition_of(camera_id, self._bus.partitions))

    async def accept(
        self, camera: Camera, frame: FrameRef, digest: str, traceparent: str, now_us: int = 0
    ) -> Answer:
        """Takes a frame whose bytes lie under its key. now_us: for tests; 0 is Redis TIME."""
        job = self._job(camera, now_us)
        job["frame"] = frame.model_dump(exclude_none=True)
        job["digest"] = digest
        reply = await self._run(self._accept, camera.id, job, traceparent)
        return Answer(
            status=reply["status"],
            epoch=int(reply["epoch"]),
            published=reply["published"],
            unneeded=reply["unneeded"],
            freed=tuple(reply["freed"]),
            reason=reply.get("reason"),
            retry_after_s=int(reply.get("retry_after_s", 1)),
        )

    async def sweep(self, find: Callable[[str], Any], now_us: int = 0) -> int:
        """Publishes every overdue window; returns how many. find: camera id -> awaitable Camera,
        or None for one that is gone, whose window is dropped."""
        published = 0
        for partition in range(self._bus.partitions):
            until = now_us // 1000 if now_us else await self._redis_now_ms()
            due: Any = await self._bus.redis.zrangebyscore(
                PartitionKeys(partition).due, "-inf", until, start=0, num=256
            )
            for raw in due:
                camera = await find(raw.decode())
                if camera is None:
                    await self.forget(raw.decode())
                    continue
                reply = await self._run(self._sweep, camera.id, self._job(camera, now_us), "")
                await self._unlink(reply["freed"])
                published += reply["published"]
        return published

    async def forget(self, camera_id: str) -> None:
        """Drops the window of a camera that was deleted."""
        job = self._job(Camera(id=camera_id, name=""), 0)
        reply = await self._run(self._forget, camera_id, job, "")
        await self._unlink([*reply["freed"], self.keys(camera_id).snapshot])

    async def _run(self, script: Any, camera_id: str, job: dict[str, Any], traceparent: str) -> Any:
        args = [ormsgpack.packb(job), traceparent]
        return ormsgpack.unpackb(await script(keys=[self.keys(camera_id).window], args=args))

    async def _unlink(self, frame_keys: list[str]) -> None:
        if frame_keys:
            await self._bus.frames.unlink(*frame_keys)

    async def _redis_now_ms(self) -> int:
        seconds, microseconds = await self._bus.redis.time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    def _job(self, camera: Camera, now_us: int) -> dict[str, Any]:
        keys = self.keys(camera.id)
        job: dict[str, Any] = {
            "camera_id": camera.id,
            "partition": keys.partition,
            "policy": self._policy(camera),
            "masks": [polygon.model_dump() for polygon in camera.masks],
            "unwatched": [polygon.model_dump() for polygon in camera.unwatched],
            "required": [group.value for group in REQUIRED_GROUPS],
            "sheddable": [
                {
                    "name": group.value,
                    "stream": TRACKLETS.key(keys.partition),
                    "type": "TrackletsEmbedded",
                    "fuse": TRACKLETS.fuse,
                }
                for group in SHEDDABLE_GROUPS
            ],
        }
        if now_us:
            job["now_us"] = now_us
        return job

    def _policy(self, camera: Camera) -> dict[str, Any]:
        s = self._settings
        interval_us = round(SECOND_US / camera.analysis_fps)
        policy: dict[str, Any] = {
            "length": s.clip_length,
            "stride": camera.stride or s.clip_stride,
            "max_gap": s.clip_max_gap,
            "interval_us": interval_us,
            "patience_ms": round(PATIENCE * s.clip_length * interval_us / 1000) + 1000,
            "lateness_us": round(s.frame_lateness_s * SECOND_US),
            "future_us": round(s.frame_future_s * SECOND_US),
            "jump_us": round(s.clock_jump_s * SECOND_US),
            "jump_frames": s.clock_jump_frames,
            "retry_memory": s.retry_memory,
            "soft_backlog": s.soft_backlog,
            "hard_backlog": s.hard_backlog,
            "shed_backlog": s.shed_backlog,
            "max_backlog_age_ms": round(s.max_backlog_age_s * 1000),
            "max_bytes": s.max_bytes_in_flight,
            "frame_ttl_ms": round(s.frame_ttl_s * 1000),
        }
        if camera.mode is CameraMode.LIVE:
            policy["stale_us"] = round(s.frame_stale_s * SECOND_US)
        return policy
