"""Crops -> the same in other colours, without learning: what translators must be better than.

Transfer: Reinhard et al., "Color Transfer between Images", IEEE Computer Graphics and Applications
21(5), 2001: each channel gets the mean and the deviation of the other side. Theirs are of two
pictures, in l-alpha-beta; here they are of two cameras, in CIELAB, so that a red coat stays red
beside a grey one. Jitter: brightness, contrast, saturation and hue at random, as trainers of
pictures have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Floats = NDArray[np.float32]

LEAST_DEVIATION = 1e-3

BRIGHTNESS = CONTRAST = SATURATION = 0.3
"""A factor of jitter is drawn evenly from 1 less this to 1 and this."""

HUE = 18.0
"""Degrees, to either side."""


@dataclass(frozen=True, eq=False)
class Palette:
    """Of a camera. mean, deviation: (3,), in CIELAB."""

    mean: Floats
    deviation: Floats

    @classmethod
    def of(cls, crops: Sequence[Pixels]) -> Self:
        """(H, W, 3) each, rgb."""
        pixels = np.concatenate([_lab(crop).reshape(-1, 3) for crop in crops])
        return cls(pixels.mean(axis=0), np.maximum(pixels.std(axis=0), LEAST_DEVIATION))


def transferred(crop: Pixels, source: Palette, target: Palette) -> Pixels:
    """(H, W, 3), rgb: as if the target's camera had seen it."""
    changed = (_lab(crop) - source.mean) * (target.deviation / source.deviation) + target.mean
    return _rgb(changed.astype(np.float32))


def jittered(crop: Pixels, rng: np.random.Generator) -> Pixels:
    """(H, W, 3), rgb, by factors drawn for this crop."""
    wide = np.array([BRIGHTNESS, CONTRAST, SATURATION])
    brightness, contrast, saturation = rng.uniform(1 - wide, 1 + wide)
    x = crop.astype(np.float32) / np.float32(255) * np.float32(brightness)
    x = (x - x.mean()) * np.float32(contrast) + x.mean()
    hsv = cv2.cvtColor(np.clip(x, 0, 1).astype(np.float32), cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + rng.uniform(-HUE, HUE)) % 360
    hsv[..., 1] = np.clip(hsv[..., 1] * saturation, 0, 1)
    return _bytes(np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.float32))


def _lab(crop: Pixels) -> Floats:
    lab = cv2.cvtColor(crop.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
    return np.asarray(lab, np.float32)


def _rgb(lab: Floats) -> Pixels:
    return _bytes(np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.float32))


def _bytes(x: Floats) -> Pixels:
    return np.asarray(np.rint(np.clip(x, 0, 1) * 255), np.uint8)
