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

    def place(self, site: int, stream_sign: int, u: float, v: float) -> tuple[float, float, float]:
        """Site coordinates -> (x, y) metres in the city, and the direction of +u in degrees."""
        wide = math.ceil(self.stretches / 4)
        deep = self.stretches // 2 - wide
        sides = ((wide, 0.0), (deep, 0.5), (wide, 1.0), (deep, 1.5))
        corner = (0.0, 0.0)
        along = (site + 0.5) * self.stretch_m
        for length, turns in sides:
            direction = turns * math.pi
            cos, sin = math.cos(direction), math.sin(direction)
            if along <= length * self.stretch_m:
                break
            along -= length * self.stretch_m
            corner = (
                corner[0] + length * self.stretch_m * cos,
                corner[1] + length * self.stretch_m * sin,
            )
        else:
            raise AssertionError("a site lies beyond the ring")
        # Where the stream runs towards -u, the site's axes are turned by half a circle.
        x = corner[0] + (along + stream_sign * u) * cos - stream_sign * v * sin
        y = corner[1] + (along + stream_sign * u) * sin + stream_sign * v * cos
        return x, y, math.degrees(direction) + (0.0 if stream_sign > 0 else 180.0)
