"""A crop and the boxes around it -> how much it can say about a person's looks, 0 to 1.

The best crop of a track is the one that is embedded and shown; poor ones do more harm than good in
a gallery. The factors are multiplied, so one bad fault is enough. All constants are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.images import Pixels
    from shared.messages import Box


MIN_SIDE = 8
"""Of a crop that says anything, in pixels. Ours."""

MAX_ASPECT = 12.0
"""Longer side over shorter side: beyond it the crop is no person. Ours."""


@dataclass(frozen=True, kw_only=True)
class QualitySettings:
    """full_height: a crop of so many pixels is as good as any. half_sharpness: variance of the
    Laplacian at which a crop counts half. aspects: height over width of an upright person seen
    whole. border: pixels from the frame's edge within which a box is taken to be cut off, and
    cut_off: what that costs."""

    full_height: float = 96.0
    half_sharpness: float = 60.0
    aspects: tuple[float, float] = (1.8, 3.4)
    border: float = 2.0
    cut_off: float = 0.5


DEFAULTS = QualitySettings()


def can_show_a_person(crop: Pixels) -> bool:
    """Whether a crop (H, W, 3) is of a size and a shape that a person can have."""
    short, long = sorted(crop.shape[:2])
    return short >= MIN_SIDE and long <= MAX_ASPECT * short


def quality(
    crop: Pixels,
    box: Box,
    *,
    frame_size: tuple[int, int],
    others: Sequence[Box],
    settings: QualitySettings = DEFAULTS,
) -> float:
    """crop: the pixels of the box (H, W, 3). frame_size: width, height. others: its neighbours."""
    return (
        sharpness(crop, settings)
        * size(box, settings)
        * shape(box, settings)
        * wholeness(box, frame_size, settings)
        * freedom(box, others)
    )


def sharpness(crop: Pixels, settings: QualitySettings = DEFAULTS) -> float:
    """Variance of the Laplacian v, as v / (v + half_sharpness): 0 for a flat crop."""
    gray = crop.astype(np.float32).mean(axis=2)
    if min(gray.shape) < 3:
        return 0.0
    laplacian = (
        gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:] - 4.0 * gray[1:-1, 1:-1]
    )
    variance = float(laplacian.var())
    return variance / (variance + settings.half_sharpness)


def size(box: Box, settings: QualitySettings = DEFAULTS) -> float:
    """Grows with the height until it suffices."""
    return min(1.0, box.height / settings.full_height)


def shape(box: Box, settings: QualitySettings = DEFAULTS) -> float:
    """1 for the aspect of an upright person; squat and thin boxes hold half a person, or two."""
    low, high = settings.aspects
    aspect = box.height / box.width
    return min(1.0, aspect / low, high / aspect)


def wholeness(box: Box, frame_size: tuple[int, int], settings: QualitySettings = DEFAULTS) -> float:
    """Less where the frame's edge may have cut the person off."""
    width, height = frame_size
    margins = (box.x, box.y, width - box.x - box.width, height - box.y - box.height)
    return settings.cut_off if min(margins) <= settings.border else 1.0


def freedom(box: Box, others: Sequence[Box]) -> float:
    """Share of the box that the most overlapping other one leaves free. Who stands lower in the
    picture is nearer and covers the other, whose crop suffers twice as much as their own."""
    free = 1.0
    for other in others:
        nearer = other.y + other.height > box.y + box.height
        covered = _overlap(box, other) / (box.width * box.height)
        free = min(free, 1.0 - (covered if nearer else covered / 2))
    return max(0.0, free)


def _overlap(a: Box, b: Box) -> float:
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    return max(0.0, width) * max(0.0, height)
