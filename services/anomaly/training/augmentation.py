"""A run of frames -> the same run cropped, lit and blurred in one way for all its frames.

The paper's augmentation: random crops, changes of brightness, Gaussian blur. The speed of motion is
what STAE learns, so frames are never skipped or reversed, and one draw holds for the whole run.
The strengths are ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from services.anomaly.scorer import gray_clip

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.anomaly.core.clip import GrayClip
    from shared.images import Pixels


class Augmentation(BaseModel):
    """smallest_crop: side of the smallest crop, as a fraction of the frame's. brightness: pixels
    are multiplied by 1 - this to 1 + this. blur_chance: of being blurred at all. strongest_blur:
    greatest standard deviation in pixels of the network's input."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    smallest_crop: float = Field(default=0.85, gt=0, le=1)
    brightness: float = Field(default=0.2, ge=0, lt=1)
    blur_chance: float = Field(default=0.3, ge=0, le=1)
    strongest_blur: float = Field(default=1.0, ge=0)

    def __call__(
        self, frames: Sequence[Pixels], *, side: int, window: int, random: np.random.Generator
    ) -> GrayClip:
        """Gray frames of any one size -> (T, window, window).

        side: of the network's input, which sets the scale. window: what is kept of it, from
        anywhere in the crop; as large as `side` for whole frames.
        """
        height, width = frames[0].shape
        scale = random.uniform(self.smallest_crop, 1.0) * window / side
        rows, columns = round(height * scale), round(width * scale)
        top = random.integers(height - rows + 1)
        left = random.integers(width - columns + 1)
        clip = gray_clip(
            [frame[top : top + rows, left : left + columns] for frame in frames],
            width=window,
            height=window,
        )
        clip = _lit(clip, random.uniform(1 - self.brightness, 1 + self.brightness))
        if random.random() < self.blur_chance:
            clip = _blurred(clip, random.uniform(0.1, max(self.strongest_blur, 0.1)))
        return clip


def _lit(clip: GrayClip, factor: float) -> GrayClip:
    table = np.clip(np.arange(256) * factor, 0, 255).round().astype(np.uint8)
    lit: GrayClip = table[clip]
    return lit


def _blurred(clip: GrayClip, sigma: float) -> GrayClip:
    return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in clip])
