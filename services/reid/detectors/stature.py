"""People seen whole at a camera -> how tall a person stands at each row of its frame.

Over level ground the height of an upright person in pixels is a linear function of the row of
their feet, whatever the camera's tilt (Hoiem et al., "Putting objects in perspective", CVPR 2006),
so that a few dozen samples tell the whole picture.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from scipy.stats import theilslopes

from shared.errors import Corrupt

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

CAPACITY = 256
"""Newest samples that are kept."""

ENOUGH = 12
"""Samples without which nothing is claimed."""

MAX_DEVIATION = 0.25
"""Median relative error of the line beyond which it is not believed: the ground is not level, or
these are no people."""


@dataclass(frozen=True, eq=False)
class Stature:
    """samples: float32 (n, 2), the row of the feet and the height, in pixels of the mask."""

    samples: NDArray[np.float32]

    @classmethod
    def unknown(cls) -> Self:
        return cls(np.zeros((0, 2), np.float32))

    def seeing(self, people: Iterable[tuple[float, float]]) -> Self:
        """With more samples; the oldest are forgotten."""
        more = np.array(list(people), np.float32).reshape(-1, 2)
        return type(self)(np.concatenate([self.samples, more])[-CAPACITY:])

    def line(self) -> Line | None:
        """None while too little is known, or where height does not follow the row."""
        if len(self.samples) < ENOUGH:
            return None
        feet, heights = self.samples.T.astype(np.float64)
        slope, offset = _robust_line(feet, heights)
        line = Line(slope, offset, float(heights.min()), float(heights.max()))
        deviation = np.abs(heights / line.heights(feet) - 1.0)
        return line if np.median(deviation) <= MAX_DEVIATION else None

    def to_bytes(self) -> bytes:
        return self.samples.astype("<f4").tobytes()

    @classmethod
    def from_bytes(cls, value: bytes) -> Self:
        """Raises Corrupt for bytes that `to_bytes` did not write."""
        try:
            samples = np.frombuffer(value, "<f4").reshape(-1, 2)
        except (ValueError, struct.error) as error:
            raise Corrupt(f"no statures: {error}", code="stature_state") from error
        return cls(samples.astype(np.float32))


@dataclass(frozen=True)
class Line:
    """height = slope * row + offset, within what has been seen."""

    slope: float
    offset: float
    smallest: float
    tallest: float

    def heights(self, feet: NDArray[np.float64]) -> NDArray[np.float64]:
        """The height of a person whose feet are at these rows, in pixels. Beyond the people seen
        so far the line is trusted to half the smallest and to twice the tallest."""
        line = self.slope * feet + self.offset
        return np.clip(line, 0.5 * self.smallest, 2.0 * self.tallest)

    def height(self, foot: float) -> float:
        return float(self.heights(np.array([foot]))[0])


def _robust_line(feet: NDArray[np.float64], heights: NDArray[np.float64]) -> tuple[float, float]:
    """Theil-Sen; where all walk in one row there is no slope to be learnt, and none is assumed."""
    if np.ptp(feet) < np.median(heights):
        return 0.0, float(np.median(heights))
    slope, *_ = theilslopes(heights, feet)
    # Who is nearer never looks smaller.
    slope = max(0.0, float(slope))
    return slope, float(np.median(heights - slope * feet))
