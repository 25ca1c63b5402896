"""Five things that go wrong on a walkway, each a small script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.synthetic.city.anomalies.cue import Anomaly, Course, Cue
from services.synthetic.city.drawing.solid import Solid, block
from services.synthetic.city.drawing.stance import Stance
from services.synthetic.city.people.gait import RUN
from services.synthetic.city.presence import Obstacle, Presence, Thing
from services.synthetic.city.scenery.vehicle import COLOURS, LENGTH_M, VehicleKind, vehicle
from services.synthetic.city.truth import AnomalyKind

if TYPE_CHECKING:
    import numpy as np


class VehicleOnWalkway(Anomaly):
    """A car, a van or a delivery cart drives along the walkway."""

    kind = AnomalyKind.VEHICLE_ON_WALKWAY
    actors = 0
    longest_s = 8.5

    def __init__(self, cue: Cue, rng: np.random.Generator) -> None:
        model = VehicleKind(rng.choice([*VehicleKind]))
        colour = COLOURS[int(rng.integers(len(COLOURS)))]
        self.cue = cue
        self._solid = vehicle(model, colour)
        self._length_m = LENGTH_M[model]
        way = cue.length_m + self._length_m
        visible_s = float(rng.uniform(7.0, 8.2))
        self._course = Course(
            start_s=cue.start_s,
            from_u=cue.entry(cue.stream) - cue.stream * self._length_m / 2,
            v=float(rng.choice([-0.95, 0.95])),
            direction=cue.stream,
            speed=way / visible_s,
            length_m=way,
        )
        self.begin_s, self.end_s = cue.start_s, self._course.end_s

    def presences(self, time_s: float) -> list[Presence]:
        if not self.begin_s <= time_s <= self.end_s:
            return []
        stance = self._course.stance(time_s)
        return [Thing(self._solid, stance, self._length_m, 1.8, self.kind)]

    def obstacles(self, time_s: float) -> list[Obstacle]:
        return [
            Obstacle(thing.stance.u, thing.stance.v, self._length_m / 2 + 0.5, 1.35)
            for thing in self.presences(time_s)
        ]


class Running(Anomaly):
    """Someone runs along with the stream, three times as fast as all others."""

    kind = AnomalyKind.RUNNING
    actors = 1
    longest_s = 6.0

    def __init__(self, cue: Cue, rng: np.random.Generator) -> None:
        self.cue = cue
        self._course = Course(
            start_s=cue.start_s,
            from_u=cue.entry(cue.stream),
            v=float(rng.uniform(-1.2, 1.2)),
            direction=cue.stream,
            speed=float(rng.uniform(3.4, 4.2)),
            length_m=cue.length_m,
            gait=RUN,
        )
        self.begin_s, self.end_s = cue.start_s, self._course.end_s

    def presences(self, time_s: float) -> list[Presence]:
        return [*self._course.body(time_s, self.cue.first_id, self.kind)]


class AgainstTheStream(Anomaly):
    """Someone walks the other way, where nobody else does."""

    kind = AnomalyKind.AGAINST_THE_STREAM
    actors = 1
    longest_s = 14.0

    def __init__(self, cue: Cue, rng: np.random.Generator) -> None:
        self.cue = cue
        self._course = Course(
            start_s=cue.start_s,
            from_u=cue.entry(-cue.stream),
            v=float(rng.uniform(-1.2, 1.2)),
            direction=-cue.stream,
            speed=float(rng.uniform(1.35, 1.6)),
            length_m=cue.length_m,
        )
        self.begin_s, self.end_s = cue.start_s, self._course.end_s

    def presences(self, time_s: float) -> list[Presence]:
        return [*self._course.body(time_s, self.cue.first_id, self.kind)]


SUITCASES = ((150, 40, 44), (36, 60, 110), (40, 42, 46), (196, 150, 60), (60, 110, 96))


class LeftBehind(Anomaly):
    """Someone sets a suitcase down and walks on; much later another one takes it away."""

    kind = AnomalyKind.LEFT_BEHIND
    actors = 2
    longest_s = 16.0
    HALT_S = 1.6

    def __init__(self, cue: Cue, rng: np.random.Generator) -> None:
        self.cue = cue
        colour = SUITCASES[int(rng.integers(len(SUITCASES)))]
        handle = block(0.04, 0.22, 0.3, (60, 60, 62), above=0.68)
        self._case = Solid((*block(0.28, 0.46, 0.68, colour), *handle))
        self._side = float(rng.choice([-1.0, 1.0]))
        spot_u = cue.inside(float(rng.uniform(0.35, 0.65)))
        self.left_s = cue.start_s
        self.taken_s = cue.start_s + float(rng.uniform(11.0, 15.0))
        self._leaver = self._visitor(cue, spot_u, self.left_s - 0.5 * self.HALT_S)
        self._taker = self._visitor(cue, spot_u, self.taken_s - 0.5 * self.HALT_S)
        self._spot = self._beside(self._leaver.stance(self.left_s))
        self.begin_s, self.end_s = self._leaver.start_s, self._taker.end_s

    def _visitor(self, cue: Cue, spot_u: float, halt_at_s: float) -> Course:
        entry, speed = cue.entry(cue.stream), 1.25
        return Course(
            start_s=halt_at_s - abs(spot_u - entry) / speed,
            from_u=entry,
            v=0.75 * self._side,
            direction=cue.stream,
            speed=speed,
            length_m=cue.length_m,
            halt_at_s=halt_at_s,
            halt_s=self.HALT_S,
        )

    def _beside(self, stance: Stance) -> Stance:
        """Where the case is rolled, a little behind, on the walkway's outer side."""
        return Stance(
            stance.u - 0.35 * self.cue.stream, stance.v + 0.5 * self._side, stance.heading
        )

    def presences(self, time_s: float) -> list[Presence]:
        people = [
            *self._leaver.body(time_s, self.cue.first_id, None),
            *self._taker.body(time_s, self.cue.first_id + 1, None),
        ]
        if self.left_s <= time_s < self.taken_s:
            return [*people, Thing(self._case, self._spot, 0.4, 0.5, self.kind)]
        rolled = self._leaver if time_s < self.left_s else self._taker
        if rolled.start_s <= time_s <= rolled.end_s:
            return [*people, Thing(self._case, self._beside(rolled.stance(time_s)), 0.4, 0.5)]
        return [*people]


class Fall(Anomaly):
    """Someone trips, lies on the ground for a while, gets up and walks on."""

    kind = AnomalyKind.FALL
    actors = 1
    longest_s = 9.0
    TRIP_S, RISE_S = 0.7, 1.5

    def __init__(self, cue: Cue, rng: np.random.Generator) -> None:
        self.cue = cue
        self._lying_s = float(rng.uniform(3.5, 5.5))
        entry, speed = cue.entry(cue.stream), 1.3
        spot_u = cue.inside(float(rng.uniform(0.4, 0.6)))
        self._course = Course(
            start_s=cue.start_s - abs(spot_u - entry) / speed,
            from_u=entry,
            v=float(rng.uniform(-0.9, 0.9)),
            direction=cue.stream,
            speed=speed,
            length_m=cue.length_m,
            halt_at_s=cue.start_s,
            halt_s=self.TRIP_S + self._lying_s + self.RISE_S,
        )
        self.begin_s, self.end_s = self._course.start_s, self._course.end_s

    def _fallen(self, time_s: float) -> float:
        since = time_s - self.cue.start_s
        if since < self.TRIP_S:
            return max(since / self.TRIP_S, 0.0) ** 2
        rising = (since - self.TRIP_S - self._lying_s) / self.RISE_S
        return 1.0 - min(max(rising, 0.0), 1.0)

    def presences(self, time_s: float) -> list[Presence]:
        wrong = self.kind if self._course.halted(time_s) else None
        return [*self._course.body(time_s, self.cue.first_id, wrong, fallen=self._fallen(time_s))]

    def obstacles(self, time_s: float) -> list[Obstacle]:
        return [
            Obstacle(body.stance.u, body.stance.v, 1.1, 0.75)
            for body in self.presences(time_s)
            if body.anomaly is not None
        ]


ANOMALIES: dict[AnomalyKind, type[Anomaly]] = {
    kind.kind: kind for kind in (VehicleOnWalkway, Running, AgainstTheStream, LeftBehind, Fall)
}
