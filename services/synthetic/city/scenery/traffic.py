"""A street's lanes -> the cars and vans that pass on its road, as they should."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.synthetic.city.chance import stream
from services.synthetic.city.drawing.stance import Stance
from services.synthetic.city.presence import Thing
from services.synthetic.city.scenery.vehicle import COLOURS, LENGTH_M, VehicleKind, vehicle

if TYPE_CHECKING:
    import numpy as np

    from services.synthetic.city.drawing.sprite import Rgb
    from services.synthetic.city.plan import CityPlan
    from services.synthetic.city.scenery.street import Street, TrafficLane

ROAD_M = 34.0
"""Vehicles drive from so far before the site's middle to so far behind it."""

GAP_S = 2.2
"""Least time between two vehicles of a lane (ours)."""


@dataclass(frozen=True)
class Passing:
    """A vehicle that passes the site's middle at middle_s."""

    middle_s: float
    speed: float
    lane: TrafficLane
    kind: VehicleKind
    colour: Rgb

    def at(self, time_s: float) -> Thing:
        along = (time_s - self.middle_s) * self.speed * self.lane.direction
        heading = 0.0 if self.lane.direction > 0 else math.pi
        return Thing(
            vehicle(self.kind, self.colour),
            Stance(along, self.lane.v, heading),
            LENGTH_M[self.kind],
            1.8,
        )


class Traffic:
    """All vehicles on the road of one site."""

    def __init__(self, plan: CityPlan, street: Street, site: int) -> None:
        self._passings = [
            passing
            for n, lane in enumerate(street.lanes)
            for passing in _flow(stream(plan.seed, "traffic", site, n), plan.duration_s, lane)
        ]

    def at(self, time_s: float) -> list[Thing]:
        return [
            passing.at(time_s)
            for passing in self._passings
            if abs(time_s - passing.middle_s) * passing.speed < ROAD_M
        ]


def _flow(rng: np.random.Generator, duration_s: float, lane: TrafficLane) -> list[Passing]:
    # One speed for a lane: nobody overtakes.
    speed = float(rng.uniform(6.0, 8.5))
    mean_gap = max(60.0 / lane.per_minute - GAP_S, 0.1)
    passings = []
    now = -10.0
    while (now := now + GAP_S + float(rng.exponential(mean_gap))) < duration_s + 10.0:
        kind = VehicleKind.CAR if rng.random() < 0.75 else VehicleKind.VAN
        colour = COLOURS[int(rng.integers(len(COLOURS)))]
        passings.append(Passing(now, speed, lane, kind, colour))
    return passings
