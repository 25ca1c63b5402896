"""Frames of a clip -> where each pixel goes: optical flow, and its pictures.

Dense inverse search: Kroeger, Timofte, Dai, Van Gool, "Fast Optical Flow using Dense Inverse
Search", ECCV 2016. A picture keeps flow in eight bits a channel, as Simonyan and Zisserman
("Two-Stream Convolutional Networks", 2014) store theirs.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt

from services.anomaly.core.clip import gray_clip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from services.anomaly.core.clip import PixelClip
    from shared.images import Pixels

STILL = 128
"""Of a picture's channel: no motion."""


class FlowSize(BaseModel):
    """width, height: of the frames between which flow is sought, in pixels. interval_s: the time in
    which flow is told; that of other frame rates is brought to it. All of it is ours."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: PositiveInt = 240
    height: PositiveInt = 160
    interval_s: PositiveFloat = 0.1


class FlowSettings(FlowSize):
    """reach: the fastest flow that a picture can show, in pixels an interval; ours too."""

    reach: PositiveFloat = 4.0


class Flow:
    """The flow of one clip, sought when it is asked for, and once for every size.

    frames: T, gray or RGB, of any size. intervals_s: (T - 1,), the time from each frame to the
    next; None: whatever the time is in which flow is told.
    """

    def __init__(
        self, frames: Sequence[Pixels], intervals_s: NDArray[np.float64] | None = None
    ) -> None:
        self._frames = frames
        self._intervals_s = intervals_s
        self._found: dict[tuple[int, int], list[NDArray[np.float32]]] = {}

    def at(self, size: FlowSize) -> list[NDArray[np.float32]]:
        """T - 1 times (H, W, 2), from each frame to the next: to the right and down, in pixels an
        interval."""
        wanted = size.width, size.height
        if wanted not in self._found:
            self._found[wanted] = self._sought(*wanted)
        found = self._found[wanted]
        if self._intervals_s is None:
            return found
        pace = (size.interval_s / self._intervals_s).astype(np.float32)
        return [flow * factor for flow, factor in zip(found, pace, strict=True)]

    def _sought(self, width: int, height: int) -> list[NDArray[np.float32]]:
        search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        clip = gray_clip(self._frames, width=width, height=height)
        return [
            np.asarray(search.calc(before, after, None), np.float32)  # type: ignore[call-overload]
            for before, after in pairwise(clip)
        ]


def flow_pictures(flow: Flow, settings: FlowSettings) -> PixelClip:
    """-> (T, H, W, 2), STILL where nothing moves.

    The first frame has the flow of the second, for nothing comes before it.
    """
    scale = np.float32((STILL - 1) / settings.reach)
    found = [
        np.clip(np.rint(one * scale) + STILL, 1, 255).astype(np.uint8) for one in flow.at(settings)
    ]
    return np.stack([found[0], *found])
