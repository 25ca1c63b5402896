"""Who and what is at a site at one moment, before any camera has looked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.synthetic.city.drawing.solid import Solid
    from services.synthetic.city.drawing.stance import Stance
    from services.synthetic.city.people.gait import Posture
    from services.synthetic.city.truth import AnomalyKind


@dataclass(frozen=True)
class Body:
    """A person. anomaly: what is wrong with them just now, if anything."""

    person_id: int
    posture: Posture
    stance: Stance
    anomaly: AnomalyKind | None = None


@dataclass(frozen=True)
class Thing:
    """A vehicle or an object. length_m, width_m: of its shadow on the ground."""

    solid: Solid
    stance: Stance
    length_m: float
    width_m: float
    anomaly: AnomalyKind | None = None


Presence = Body | Thing


@dataclass(frozen=True)
class Obstacle:
    """What walkers step aside for. half_m: half its length along u; clearance_m: least distance
    in v between its middle and a walker."""

    u: float
    v: float
    half_m: float
    clearance_m: float
