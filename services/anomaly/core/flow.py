"""Gray frames of a clip -> where each pixel goes: optical flow, and its pictures.

Dense inverse search: Kroeger, Timofte, Dai, Van Gool, "Fast Optical Flow using Dense Inverse
Search", ECCV 2016. A picture keeps flow in eight bits a channel, as Simonyan and Zisserman
("Two-Stream Convolutional Networks", 2014) store theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from services.anomaly.core.clip import GrayClip, PixelClip

STILL = 128
"""Of a picture's channel: no motion."""


class FlowSettings(BaseModel):
    """width, height: of the frames between which flow is sought, in pixels. interval_s: the time in
    which flow is told; that of other frame rates is brought to it. reach: the fastest flow that a
    picture can show, in pixels an interval. All of it is ours."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: PositiveInt = 240
    height: PositiveInt = 160
    interval_s: PositiveFloat = 0.1
    reach: PositiveFloat = 4.0


def flows(
    clip: GrayClip, interval_s: float, intervals_s: NDArray[np.float64] | None = None
) -> Iterator[NDArray[np.float32]]:
    """(T, H, W) -> T - 1 times (H, W, 2), the flow from each frame to the next: to the right and
    down, in pixels an interval.

    intervals_s: (T - 1,), the time from each frame to the next; none: all are `interval_s`.
    """
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    if intervals_s is None:
        intervals_s = np.full(len(clip) - 1, interval_s)
    for before, after, passed_s in zip(clip[:-1], clip[1:], intervals_s, strict=True):
        flow = search.calc(before, after, None)  # type: ignore[call-overload]
        yield np.asarray(flow) * np.float32(interval_s / passed_s)


def flow_pictures(
    clip: GrayClip, settings: FlowSettings, intervals_s: NDArray[np.float64] | None = None
) -> PixelClip:
    """(T, H, W) of the settings' size -> (T, H, W, 2), STILL where nothing moves.

    The first frame has the flow of the second, for nothing comes before it.
    """
    scale = np.float32((STILL - 1) / settings.reach)
    found = [
        np.clip(np.rint(flow * scale) + STILL, 1, 255).astype(np.uint8)
        for flow in flows(clip, settings.interval_s, intervals_s)
    ]
    return np.stack([found[0], *found])
