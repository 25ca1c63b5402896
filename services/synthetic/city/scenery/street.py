"""What one camera looks at: the layers of a street, in metres, and the camera itself.

Site coordinates: u along the walkway to the camera's right, v across it and away from the camera,
z up. The walkway is |v| <= WALKWAY_HALF_M; the camera stands at v < 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from services.synthetic.city.drawing.pinhole import Pinhole

if TYPE_CHECKING:
    from services.synthetic.city.drawing.sprite import Rgb
    from services.synthetic.city.scenery.facade import Facade
    from services.synthetic.city.scenery.paving import Ground

WALKWAY_HALF_M = 2.0
REACH_M = 20.0
"""Textures reach so far from the middle of the site along u, both ways."""


class Site(StrEnum):
    SHOPPING_STREET = "shopping_street"
    AVENUE = "avenue"
    PARK = "park"
    SQUARE = "square"


class PropKind(StrEnum):
    TREE = "tree"
    BUSH = "bush"
    LAMP = "lamp"
    BENCH = "bench"
    PLANTER = "planter"
    POT = "pot"
    """What grows in a planter."""
    SIGN = "sign"
    """A lit sign in a shop window."""
    BOLLARD = "bollard"
    BIN = "bin"
    PARKED_CAR = "parked_car"


@dataclass(frozen=True)
class Strip:
    """A band of ground; bands are listed from the camera's side to the far side."""

    ground: Ground
    width_m: float
    tint: Rgb


@dataclass(frozen=True)
class Wall:
    """A front parallel to the walkway."""

    v: float
    height_m: float
    facade: Facade
    tint: Rgb


@dataclass(frozen=True)
class Prop:
    kind: PropKind
    u: float
    v: float
    size: float = 1.0


@dataclass(frozen=True)
class Marking:
    """A painted line along the road; dash_m: 0 for an unbroken one."""

    v: float
    width_m: float
    dash_m: float


@dataclass(frozen=True)
class TrafficLane:
    """Where vehicles may pass. direction: +1 towards +u."""

    v: float
    direction: int
    per_minute: float


@dataclass(frozen=True)
class Viewpoint:
    """yaw_deg: how far the view turns from straight across, positive to the right (+u).

    distance_m: on the ground, to the point (aim_u, aim_v) that is looked at. focal: focal length
    in widths of the frame.
    """

    yaw_deg: float
    distance_m: float
    height_m: float
    focal: float
    aim_u: float = 0.0
    aim_v: float = 0.0

    def camera(self, width: int, height: int) -> Pinhole:
        yaw = math.radians(self.yaw_deg)
        return Pinhole(
            position=(
                self.aim_u - self.distance_m * math.sin(yaw),
                self.aim_v - self.distance_m * math.cos(yaw),
                self.height_m,
            ),
            target=(self.aim_u, self.aim_v, 0.9),
            focal_px=self.focal * width,
            width=width,
            height=height,
        )


class View(NamedTuple):
    """What a camera sees of its walkway. span: from which u to which u. stream: +1 where people
    walk towards +u, -1 where they walk towards -u."""

    span: tuple[float, float]
    stream: int


@dataclass(frozen=True)
class Street:
    """stream: as of a View. near_v: where the first strip begins."""

    site: Site
    name: str
    name_zh: str
    stream: int
    near_v: float
    strips: tuple[Strip, ...]
    markings: tuple[Marking, ...]
    walls: tuple[Wall, ...]
    props: tuple[Prop, ...]
    lanes: tuple[TrafficLane, ...]
    viewpoint: Viewpoint
