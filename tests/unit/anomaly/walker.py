"""A street on which one thing moves."""

from __future__ import annotations

import numpy as np


def walker(speed: float, *, frames: int = 6, width: int = 12, height: int = 28, x: float = 60):
    """A textured thing that crosses a textured street, (T, 160, 240)."""
    random = np.random.default_rng(0)
    street = random.integers(90, 110, (160, 240), np.uint8)
    coat = random.integers(0, 255, (height, width), np.uint8)
    clip = np.repeat(street[None], frames, axis=0)
    for n, frame in enumerate(clip):
        left = round(x + speed * n)
        frame[60 : 60 + height, left : left + width] = coat
    return clip
