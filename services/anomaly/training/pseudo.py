"""A normal clip -> the same clip with something in it that no normal one shows.

Astrid, Zaheer and Lee ("PseudoBound", Neurocomputing 2023): a network that must draw the normal
clip, whatever was put into it, learns to draw nothing else. Theirs are skipped frames or a foreign
patch; here it is both at once (ours): a rectangle shows another place of the clip at twice the
speed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from services.anomaly.core.flow import STILL
from services.anomaly.core.sight import Sight  # noqa: TC001 - pydantic reads it

if TYPE_CHECKING:
    from services.anomaly.core.clip import PixelClip

HASTE = 2
"""Every second of 2T frames: no more are at hand."""


class PseudoAnomalies(BaseModel):
    """chance: of a training clip to get one; STAE has none, STAE+ a quarter. smallest, largest:
    sides of the rectangle, as fractions of the clip's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    chance: float = Field(default=0.0, ge=0, le=1)
    smallest: float = Field(default=0.15, gt=0, le=1)
    largest: float = Field(default=0.5, gt=0, le=1)

    def __call__(self, pixels: PixelClip, sight: Sight, random: np.random.Generator) -> PixelClip:
        """2T normal frames (2T, H, W) or (2T, H, W, C) -> what is put in for the first T."""
        past = pixels[: len(pixels) // 2]
        if random.random() >= self.chance:
            return past
        sides = np.array(past.shape[1:3])
        size = np.maximum(1, sides * random.uniform(self.smallest, self.largest, 2)).astype(int)
        from_top, from_left = random.integers(sides - size + 1)
        top, left = random.integers(sides - size + 1)
        height, width = size
        made = past.copy()
        made[:, top : top + height, left : left + width] = hastened(
            pixels[:, from_top : from_top + height, from_left : from_left + width], sight
        )
        return made


def hastened(pixels: PixelClip, sight: Sight) -> PixelClip:
    """2T frames -> T frames of what happens in them; of flow, it is so much faster."""
    kept = pixels[::HASTE]
    if sight.colour != "flow":
        return kept
    faster = (kept.astype(np.int16) - STILL) * HASTE + STILL
    return np.clip(faster, 1, 2 * STILL - 1).astype(np.uint8)
