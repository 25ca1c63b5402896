"""A place and a direction on the ground -> the axes of what stands there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Stance:
    """Where somebody is (metres, site coordinates) and which way they face (radians from +u)."""

    u: float
    v: float
    heading: float

    def turn(self) -> NDArray[np.float64]:
        """(3, 3): rows are forward, left and up."""
        cos, sin = math.cos(self.heading), math.sin(self.heading)
        return np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
