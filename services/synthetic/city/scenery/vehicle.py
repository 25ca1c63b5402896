"""A kind and a colour -> the solid of a car, a van or a delivery cart."""

from __future__ import annotations

import math
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from services.synthetic.city.drawing.solid import Face, Solid, block, prism

if TYPE_CHECKING:
    from services.synthetic.city.drawing.sprite import Rgb

GLASS: Rgb = (52, 66, 80)
TYRE: Rgb = (34, 34, 36)
HUB: Rgb = (150, 152, 156)
HEADLIGHT: Rgb = (250, 244, 214)
TAIL_LIGHT: Rgb = (176, 34, 34)
BUMPER: Rgb = (58, 60, 64)


class VehicleKind(StrEnum):
    CAR = "car"
    VAN = "van"
    CART = "cart"


LENGTH_M: dict[VehicleKind, float] = {
    VehicleKind.CAR: 4.0,
    VehicleKind.VAN: 4.4,
    VehicleKind.CART: 2.7,
}

COLOURS: tuple[Rgb, ...] = (
    (228, 230, 232), (60, 64, 70), (160, 166, 172), (168, 44, 44), (44, 82, 138), (214, 170, 60),
    (70, 110, 86), (32, 34, 40),
)  # fmt: skip


@lru_cache(maxsize=64)
def vehicle(kind: VehicleKind, colour: Rgb) -> Solid:
    """Its middle is the origin, its front points forwards."""
    return {VehicleKind.CAR: _car, VehicleKind.VAN: _van, VehicleKind.CART: _cart}[kind](colour)


def _car(colour: Rgb) -> Solid:
    body = ((-2.0, 0.24), (1.95, 0.24), (2.0, 0.62), (1.1, 0.86), (-1.95, 0.9), (-2.0, 0.7))
    cabin = ((-1.75, 0.86), (1.05, 0.84), (0.4, 1.4), (-1.3, 1.42))
    return Solid(
        (
            *prism(body, 0.85, colour),
            *_wheels((-1.25, 1.2), 0.31, 0.85),
            *_lights(-2.0, 1.98, 0.62, 0.58),
            *prism(cabin, 0.72, GLASS, gloss=0.3),
            *_pillars(0.725, colour, ((-0.35, 0.86), (-0.22, 0.86), (-0.28, 1.38), (-0.4, 1.38))),
            _roof(-1.3, 0.4, 0.72, 1.425, colour),
        )
    )


def _van(colour: Rgb) -> Solid:
    body = ((-2.2, 0.3), (2.15, 0.3), (2.2, 0.85), (1.75, 1.1), (1.25, 1.92), (-2.15, 1.96))
    side = ((0.35, 1.12), (1.5, 1.12), (1.12, 1.72), (0.35, 1.72))
    front = ((1.72, -0.72, 1.16), (1.3, -0.68, 1.84), (1.3, 0.68, 1.84), (1.72, 0.72, 1.16))
    trim = ((-2.1, 0.72), (1.9, 0.72), (1.9, 0.84), (-2.1, 0.84))
    return Solid(
        (
            *prism(body, 0.88, colour),
            *_wheels((-1.35, 1.35), 0.33, 0.88),
            *_lights(-2.2, 2.18, 0.76, 0.7),
            *_pillars(0.885, (206, 122, 44), trim),
            *_pillars(0.885, GLASS, side),
            Face(front, (0.85, 0.0, 0.52), GLASS, 0.3),
        )
    )


def _cart(colour: Rgb) -> Solid:
    """An electric delivery tricycle: a cargo box behind a small cab."""
    cab = ((0.35, 0.36), (1.25, 0.36), (1.35, 0.7), (0.95, 1.5), (0.35, 1.55))
    front = ((1.32, -0.42, 0.8), (1.0, -0.4, 1.42), (1.0, 0.4, 1.42), (1.32, 0.42, 0.8))
    stripe = ((-1.3, 0.95), (0.25, 0.95), (0.25, 1.12), (-1.3, 1.12))
    return Solid(
        (
            *prism(cab, 0.48, colour),
            *_pillars(0.485, GLASS, ((0.5, 0.9), (1.12, 0.9), (0.9, 1.42), (0.5, 1.42))),
            Face(front, (0.88, 0.0, 0.47), GLASS, 0.3),
            *block(1.65, 1.1, 1.15, colour, forward=-0.5, above=0.42),
            *_pillars(0.555, (240, 238, 232), stripe),
            *_wheels((-0.85, 0.95), 0.25, 0.56),
        )
    )


def _wheels(axles: tuple[float, ...], radius: float, half_width: float) -> tuple[Face, ...]:
    faces: list[Face] = []
    for axle in axles:
        for size, colour in ((radius, TYRE), (radius * 0.52, HUB)):
            rim = tuple(
                (axle + size * math.cos(n * math.pi / 7), radius + size * math.sin(n * math.pi / 7))
                for n in range(14)
            )
            faces += _pillars(half_width + 0.01, colour, rim)
    return tuple(faces)


def _pillars(
    half_width: float, colour: Rgb, outline: tuple[tuple[float, float], ...]
) -> tuple[Face, Face]:
    """The same flat piece on both flanks."""
    return (
        Face(tuple((x, -half_width, z) for x, z in outline), (0.0, -1.0, 0.0), colour, 0.2),
        Face(tuple((x, half_width, z) for x, z in outline), (0.0, 1.0, 0.0), colour, 0.2),
    )


def _lights(rear: float, front: float, height: float, reach: float) -> tuple[Face, ...]:
    faces: list[Face] = []
    for x, normal, colour in ((rear, -1.0, TAIL_LIGHT), (front, 1.0, HEADLIGHT)):
        for side in (-reach, reach):
            corners = (
                (x + normal * 0.03, side - 0.17, height - 0.08),
                (x + normal * 0.03, side + 0.17, height - 0.08),
                (x + normal * 0.03, side + 0.17, height + 0.08),
                (x + normal * 0.03, side - 0.17, height + 0.08),
            )
            faces.append(Face(corners, (normal, 0.0, 0.0), colour, 1.0))
        bumper = tuple(
            (x + normal * 0.02, y, z)
            for y, z in ((-0.8, 0.26), (0.8, 0.26), (0.8, 0.38), (-0.8, 0.38))
        )
        faces.append(Face(bumper, (normal, 0.0, 0.0), BUMPER))
    return tuple(faces)


def _roof(rear: float, front: float, half_width: float, height: float, colour: Rgb) -> Face:
    corners = ((rear, -1), (front, -1), (front, 1), (rear, 1))
    return Face(
        tuple((x, side * half_width, height) for x, side in corners), (0.0, 0.0, 1.0), colour
    )
