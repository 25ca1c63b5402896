"""How the cameras' sites lie in the city: one walkway around a block of houses."""

from __future__ import annotations

import math
from dataclasses import dataclass

STRETCH_M = 19.0
"""Length of walkway for each camera; it sees the middle of it, and never the ends."""


@dataclass(frozen=True)
class Block:
    """A rectangular ring of straight stretches, walked counter-clockwise; one camera a stretch."""

    cameras: int
    stretch_m: float = STRETCH_M

    @property
    def stretches(self) -> int:
        return max(4, self.cameras + self.cameras % 2)

    @property
    def ring_m(self) -> float:
        return self.stretches * self.stretch_m

    @property
    def half_m(self) -> float:
        return self.stretch_m / 2

    def passes(self, site: int, enter_m: float, length_m: float) -> list[float]:
        """Metres along the (unrolled) ring at which someone passes the middle of a site."""
        middle = (site + 0.5) * self.stretch_m
        laps = math.ceil((enter_m - middle) / self.ring_m)
        passed = []
        while (metre := middle + laps * self.ring_m) <= enter_m + length_m:
            passed.append(metre)
            laps += 1
        return passed

    def place(self, site: int, stream: int, u: float, v: float) -> tuple[float, float, float]:
        """Site coordinates -> (x, y) metres in the city, and the direction of +u in degrees.

        stream: as of a View; where people walk towards -u the site's axes are turned by 180.
        """
        wide = math.ceil(self.stretches / 4)
        deep = self.stretches // 2 - wide
        headings = [0] * wide + [90] * deep + [180] * wide + [270] * deep
        axes = [(math.cos(math.radians(it)), math.sin(math.radians(it))) for it in headings]
        cos, sin = axes[site]
        along, aside = self.half_m + stream * u, stream * v
        x = self.stretch_m * sum(it[0] for it in axes[:site]) + along * cos - aside * sin
        y = self.stretch_m * sum(it[1] for it in axes[:site]) + along * sin + aside * cos
        return x, y, float(headings[site] if stream > 0 else headings[site] + 180)
