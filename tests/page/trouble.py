"""A camera and a picture -> what the anomaly service says of a clip that is far from normal."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

import numpy as np

from shared.bus import Bus
from shared.clock import to_us
from shared.images import encode_jpeg
from shared.messages import (
    Box,
    ClipScored,
    ErrorMap,
    FrameRef,
    FrameScore,
    Outcome,
    Prior,
    ScoringContext,
    TamperingSigns,
)
from shared.topics import SCORES, CameraKeys, partition_of

FRAMES = 16
CALM_CLIPS = 3
TAMPERED_CLIPS = 6
INTERVAL_US = 200_000

CALM_ERROR = 0.1
GRAVE_ERROR = 0.6
"""A score of about 5 by the prior below: above every threshold, learning or not."""

PRIOR = Prior(q50=0.1, q95=0.15, q99=0.17, q999=0.2)
CONTEXT = ScoringContext(model="trouble", model_digest="0" * 64, provider="cpu", precision="fp32")
REGION = Box(x=60, y=80, width=120, height=90)
PARTS = {"motion": 0.4, "look": 0.2}
DRAWN = encode_jpeg(np.full((128, 128), 90, np.uint8))


async def make_trouble(
    bus: Bus,
    camera_id: str,
    picture: bytes,
    width: int,
    height: int,
    tampering: TamperingSigns | None = None,
) -> None:
    """The first clips of a registered camera that has pushed nothing: calm, then an alert.

    tampering: what is seen of the view for long enough, instead of an anomaly.
    """
    now_us = to_us(datetime.now(UTC))
    partition = partition_of(camera_id, bus.partitions)
    keys = CameraKeys(camera_id, partition)
    clips = CALM_CLIPS + (TAMPERED_CLIPS if tampering else 1)
    for seq in range(clips):
        first_us = now_us - (clips - seq) * FRAMES * INTERVAL_US
        frames = []
        for n in range(FRAMES):
            captured_us = first_us + n * INTERVAL_US
            key = keys.frame(captured_us, secrets.token_hex(8), len(picture))
            await bus.frames.set(key, picture, ex=120)
            frames.append(FrameRef(key=key, captured_us=captured_us, width=width, height=height))
        is_calm = seq < CALM_CLIPS
        is_grave = not is_calm and tampering is None
        clip = _scored(camera_id, seq, tuple(frames), now_us, is_grave=is_grave)
        if tampering and not is_calm:
            clip = clip.model_copy(update={"tampering": tampering})
        await bus.publish(SCORES, clip, partition)


def _scored(
    camera_id: str, seq: int, frames: tuple[FrameRef, ...], now_us: int, *, is_grave: bool
) -> ClipScored:
    error = GRAVE_ERROR if is_grave else CALM_ERROR
    regions = (REGION,) if is_grave else ()
    values = np.zeros((16, 16), "<f2")
    values[5:12, 3:9] = 1.0
    times = tuple(frame.captured_us for frame in frames)
    return ClipScored(
        camera_id=camera_id,
        born=now_us // 1_000_000,
        epoch=1,
        seq=seq,
        captured_us=times,
        ready_us=now_us,
        clip_entry="0-1",
        outcome=Outcome.DONE,
        context=CONTEXT,
        prior=PRIOR,
        scores=tuple(
            FrameScore(
                captured_us=captured_us,
                error=error,
                regions=regions,
                parts=PARTS if is_grave else {},
            )
            for captured_us in times
        ),
        # Not the alert's peak, which is the first of frames that are equally bad.
        error_map=ErrorMap(rows=16, columns=16, values=values.tobytes(), captured_us=times[7]),
        reconstruction=DRAWN,
        frames=frames,
    )
