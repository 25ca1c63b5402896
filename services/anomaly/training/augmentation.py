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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.anomaly.core.clip import PixelClip
    from services.anomaly.core.sight import Sight
    from shared.images import Pixels


class Augmentation(BaseModel):
    """smallest_crop: side of the smallest crop, as a fraction of the frame's. brightness: pixels
    are multiplied by 1 - this to 1 + this; flow has none. blur_chance: of
    being blurred at all. strongest_blur: greatest standard deviation in pixels of the network's
    input."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    smallest_crop: float = Field(default=0.85, gt=0, le=1)
    brightness: float = Field(default=0.2, ge=0, lt=1)
    blur_chance: float = Field(default=0.3, ge=0, le=1)
    strongest_blur: float = Field(default=1.0, ge=0)

    def __call__(
        self,
        pictures: Sequence[Pixels],
        sight: Sight,
        *,
        side: int,
        window: int,
        random: np.random.Generator,
    ) -> PixelClip:
        """Pictures of any one size, as `sight` makes them -> (T, window, window) or with C last.

        side: of the network's input, which sets the scale. window: what is kept of it, from
        anywhere in the crop; as large as `side` for whole frames.
        """
        height, width = pictures[0].shape[:2]
        scale = random.uniform(self.smallest_crop, 1.0) * window / side
        rows, columns = round(height * scale), round(width * scale)
        top = random.integers(height - rows + 1)
        left = random.integers(width - columns + 1)
        cropped = [picture[top : top + rows, left : left + columns] for picture in pictures]
        clip = sight.clip(cropped, width=window, height=window)
        light = random.uniform(1 - self.brightness, 1 + self.brightness)
        if sight.colour != "flow":
            clip = _lit(clip, light)
        if random.random() < self.blur_chance:
            clip = _blurred(clip, random.uniform(0.1, max(self.strongest_blur, 0.1)))
        return clip


def _lit(clip: PixelClip, factor: float) -> PixelClip:
    table = np.clip(np.arange(256) * factor, 0, 255).round().astype(np.uint8)
    lit: PixelClip = table[clip]
    return lit


def _blurred(clip: PixelClip, sigma: float) -> PixelClip:
    return np.stack([cv2.GaussianBlur(frame, (0, 0), sigma) for frame in clip])
