"""Where and when -> the courses of the people in a script of something that goes wrong."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from services.synthetic.city.drawing.stance import Stance
from services.synthetic.city.people.gait import STAND, WALK, Gait, Posture
from services.synthetic.city.presence import Body, Obstacle, Presence

if TYPE_CHECKING:
    import numpy as np

    from services.synthetic.city.scenery.street import View
    from services.synthetic.city.truth import AnomalyKind

ENTRY_M = 0.8
"""People of a script begin and end so far outside the camera's view."""


@dataclass(frozen=True)
class Cue:
    """Where and when something is to go wrong.

    start_s: when it is first seen. first_id: of the actors' ids, which are contiguous.
    """

    site: int
    start_s: float
    view: View
    first_id: int

    @property
    def stream(self) -> int:
        return self.view.stream

    def entry(self, direction: int) -> float:
        """The u just outside the view from which one enters in that direction."""
        left, right = self.view.span
        return left - ENTRY_M if direction > 0 else right + ENTRY_M

    @property
    def length_m(self) -> float:
        """From outside the view to outside the view."""
        left, right = self.view.span
        return right - left + 2 * ENTRY_M

    def inside(self, share: float) -> float:
        """The u at a share of the view, 0 its left edge, 1 its right edge."""
        left, right = self.view.span
        return left + share * (right - left)


@dataclass(frozen=True)
class Course:
    """Someone's way along a straight line, with at most one halt.

    direction: +1 towards +u. halt_at_s, halt_s: when it begins and how long it lasts.
    """

    start_s: float
    from_u: float
    v: float
    direction: int
    speed: float
    length_m: float
    gait: Gait = WALK
    halt_at_s: float = math.inf
    halt_s: float = 0.0

    @property
    def end_s(self) -> float:
        return self.start_s + self.length_m / self.speed + self.halt_s

    def halted(self, time_s: float) -> bool:
        return self.halt_at_s <= time_s < self.halt_at_s + self.halt_s

    def walked(self, time_s: float) -> float:
        lost = min(max(time_s - self.halt_at_s, 0.0), self.halt_s)
        return (time_s - self.start_s - lost) * self.speed

    def stance(self, time_s: float) -> Stance:
        heading = 0.0 if self.direction > 0 else math.pi
        return Stance(self.from_u + self.direction * self.walked(time_s), self.v, heading)

    def body(
        self, time_s: float, person_id: int, anomaly: AnomalyKind | None, fallen: float = 0.0
    ) -> list[Body]:
        """The person, or nobody before the start and after the end."""
        if not self.start_s <= time_s <= self.end_s:
            return []
        gait = STAND if self.halted(time_s) else self.gait
        phase = 2 * math.pi * self.walked(time_s) / self.gait.stride_m
        return [Body(person_id, Posture(gait, phase, fallen), self.stance(time_s), anomaly)]


class Anomaly(ABC):
    """A script. Its actors are around from begin_s to end_s; actors: how many people it needs."""

    kind: ClassVar[AnomalyKind]
    actors: ClassVar[int]
    longest_s: ClassVar[float]
    """It is over so long after its cue's start, at the latest."""

    cue: Cue
    begin_s: float
    end_s: float

    @abstractmethod
    def __init__(self, cue: Cue, rng: np.random.Generator) -> None: ...

    @abstractmethod
    def presences(self, time_s: float) -> list[Presence]:
        """Everyone and everything of the script; what is wrong carries its kind."""

    def obstacles(self, time_s: float) -> list[Obstacle]:
        """What walkers make way for: whatever is wrong."""
        return [
            Obstacle(presence.stance.u, presence.stance.v, 0.5, 0.7)
            for presence in self.presences(time_s)
            if presence.anomaly is not None
        ]
