"""The body of a push -> frames that may enter: judged, counted when refused, written, accepted."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from prometheus_client import Counter

from shared.clock import from_us
from shared.errors import CityBrainError, Conflict, Invalid, Malformed, Overloaded
from shared.images import ImageInfo, ImageLimits, inspect
from shared.mark import refuse_marked
from shared.messages import Box, FrameRef
from shared.telemetry import current_traceparent

if TYPE_CHECKING:
    from services.gateway.core.camera import Camera
    from services.gateway.intake.window import Answer, Windows
    from services.gateway.settings import GatewaySettings
    from shared.bus import Bus

log = structlog.get_logger(__name__)

FRAMES = Counter("citybrain_frames_total", "Frames by what became of them at the door", ["end"])

SNAPSHOT_EVERY_S = 1.0
SNAPSHOT_TTL_S = 24 * 3600

REFUSALS = {
    "late": (
        Conflict,
        "frame_late",
        "the frame is older than what this camera's windows have already left behind",
    ),
    "conflict": (
        Conflict,
        "frame_conflict",
        "another frame of this camera has the same capture time",
    ),
    "future": (
        Malformed,
        "frame_in_future",
        "the capture time lies ahead of the server's clock; set the camera's clock (NTP)",
    ),
    "stale": (
        Malformed,
        "frame_too_old",
        "the capture time lies far in the past; for old footage set the camera's mode to archive",
    ),
}


@dataclass(frozen=True)
class PushedFrame:
    """A frame as it came in. boxes: people in pixels of the frame (None: nobody looked)."""

    body: bytes
    captured_us: int
    boxes: tuple[Box, ...] | None = None


@dataclass(frozen=True)
class Admission:
    """What became of a frame. disposition: accepted or thinned. A repeated push gets the same."""

    frame_id: str
    captured_us: int
    disposition: str


class Doorman:
    """Lets frames in. What he refuses is counted by reason, at the camera's account."""

    def __init__(self, bus: Bus, windows: Windows, settings: GatewaySettings) -> None:
        self._bus = bus
        self._windows = windows
        self._settings = settings
        self._snapshot_at: dict[str, float] = {}

    async def admit(self, camera: Camera, pushed: PushedFrame) -> Admission:
        """Takes one frame: when this returns, it is in its window for good.

        Raises Malformed, TooLarge or UnsupportedMedia for what is no whole image within limits,
        Malformed (`synthetic_image`) for one that is marked as made,
        Conflict or Malformed for a capture time that cannot be taken, Overloaded under lag.
        """
        frame, digest = await self._judge(camera, pushed)
        ttl_ms = round(self._settings.frame_ttl_s * 1000)
        await self._bus.frames.set(frame.key, pushed.body, px=ttl_ms)
        answer = await self._windows.accept(camera, frame, digest, current_traceparent())
        unneeded = [*answer.freed, *([frame.key] if answer.unneeded else [])]
        if unneeded:
            await self._bus.frames.unlink(*unneeded)
        FRAMES.labels(answer.reason or answer.status).inc()
        self._raise_refusal(camera, pushed, answer)
        await self._keep_snapshot(camera, pushed)
        return Admission(
            f"{camera.id}/{answer.epoch}/{pushed.captured_us}", pushed.captured_us, answer.status
        )

    async def _judge(self, camera: Camera, pushed: PushedFrame) -> tuple[FrameRef, str]:
        try:
            info = await asyncio.to_thread(_examine, pushed.body, self._settings.image_limits)
            for box in pushed.boxes or ():
                if not _lies_within(box, info.width, info.height):
                    raise Malformed(
                        f"box {box.x:g},{box.y:g} {box.width:g}x{box.height:g} lies outside of the"
                        f" frame of {info.width}x{info.height} pixels",
                        code="box_outside",
                    )
        except Invalid as error:
            await self.count_refusal(camera.id, error)
            raise
        digest = hashlib.blake2b(pushed.body, digest_size=8).hexdigest()
        key = self._windows.keys(camera.id).frame(pushed.captured_us, digest, len(pushed.body))
        frame = FrameRef(
            key=key,
            captured_us=pushed.captured_us,
            width=info.width,
            height=info.height,
            boxes=pushed.boxes,
        )
        return frame, digest

    async def count_refusal(self, camera_id: str, error: CityBrainError) -> None:
        """Adds a refusal that the window script has not seen to the camera's account."""
        FRAMES.labels(error.code).inc()
        account = self._windows.keys(camera_id).account
        await self._bus.redis.hincrby(account, f"refused.{error.code}", 1)

    def _raise_refusal(self, camera: Camera, pushed: PushedFrame, answer: Answer) -> None:
        if answer.status == "overloaded":
            raise Overloaded(
                f"too much is waiting to be analysed ({answer.reason});"
                f" push again in {answer.retry_after_s} s",
                retry_after_s=answer.retry_after_s,
            )
        if answer.status == "refused":
            kind, code, text = REFUSALS[answer.reason or "late"]
            moment = from_us(pushed.captured_us).isoformat()
            raise kind(f"{text} (camera {camera.id}, captured {moment})", code=code)

    async def _keep_snapshot(self, camera: Camera, pushed: PushedFrame) -> None:
        now = time.monotonic()
        if now - self._snapshot_at.get(camera.id, float("-inf")) < SNAPSHOT_EVERY_S:
            return
        self._snapshot_at[camera.id] = now
        key = self._windows.keys(camera.id).snapshot
        await self._bus.frames.set(key, pushed.body, ex=SNAPSHOT_TTL_S)


def _examine(body: bytes, limits: ImageLimits) -> ImageInfo:
    info = inspect(body, limits)
    refuse_marked(body)
    return info


def _lies_within(box: Box, width: int, height: int) -> bool:
    return (
        box.x < width
        and box.y < height
        and box.x + box.width > 0
        and box.y + box.height > 0
        and box.width <= 2 * width
        and box.height <= 2 * height
    )
