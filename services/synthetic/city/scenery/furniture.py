"""A kind of street furniture -> its solid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from services.synthetic.city.drawing.solid import Face, Solid, block, prism
from services.synthetic.city.drawing.sprite import scaled
from services.synthetic.city.scenery.street import PropKind
from services.synthetic.city.scenery.vehicle import VehicleKind, vehicle

if TYPE_CHECKING:
    from services.synthetic.city.drawing.sprite import Rgb

METAL: Rgb = (72, 78, 82)
WOOD: Rgb = (150, 108, 70)
STONE: Rgb = (150, 146, 140)
SOIL: Rgb = (84, 66, 50)
LAMP_GLASS: Rgb = (246, 238, 210)
PARKED: Rgb = (120, 132, 146)
NIGHT: Rgb = (38, 36, 46)
NEONS: tuple[Rgb, ...] = ((255, 96, 96), (110, 230, 230), (255, 190, 90))


def _lamp() -> Solid:
    return Solid(
        (
            *block(0.3, 0.3, 0.35, METAL),
            *block(0.11, 0.11, 3.9, METAL, above=0.35),
            *block(0.34, 0.34, 0.34, LAMP_GLASS, above=4.25),
            *block(0.42, 0.42, 0.07, METAL, above=4.59),
        )
    )


def _bench() -> Solid:
    """Its back is on the far side."""
    faces: list[Face] = []
    for forward in (-0.7, 0.7):
        faces += block(0.08, 0.42, 0.42, METAL, forward=forward)
    for left in (0.2, 0.04, -0.12):
        faces += block(1.7, 0.12, 0.05, WOOD, left=left, above=0.42)
    for above in (0.56, 0.72):
        faces += block(1.7, 0.05, 0.11, WOOD, left=0.26, above=above)
    return Solid(tuple(faces))


def _planter() -> Solid:
    return Solid(
        (
            *block(1.3, 0.7, 0.5, STONE),
            *block(1.14, 0.54, 0.02, SOIL, above=0.5),
        )
    )


def _bollard() -> Solid:
    return Solid((*block(0.16, 0.16, 0.8, METAL), *block(0.17, 0.17, 0.08, STONE, above=0.62)))


def _bin() -> Solid:
    body = ((-0.2, 0.0), (0.2, 0.0), (0.24, 0.78), (-0.24, 0.78))
    return Solid((*prism(body, 0.24, (66, 92, 78)), *block(0.52, 0.52, 0.08, METAL, above=0.78)))


def neon(rng: np.random.Generator) -> tuple[Solid, ...]:
    """A sign of light tubes in a shop window, at every moment of its unsteady glow."""
    tube = NEONS[int(rng.integers(len(NEONS)))]
    glow = np.clip(1.0 - np.abs(rng.normal(0, 0.14, 24)), 0.45, 1.0).tolist()
    return tuple(_lit(scaled(tube, light)) for light in glow)


def _lit(tube: Rgb) -> Solid:
    board = block(0.95, 0.04, 0.5, NIGHT, above=1.72)
    strokes = ((-0.32, 0.3), (-0.12, 0.2), (0.08, 0.3), (0.3, 0.24))
    faces = []
    for left, height in strokes:
        corners = ((left - 0.05, -0.03, 1.82), (left + 0.05, -0.03, 1.82))
        top = tuple((x, y, z + height) for x, y, z in reversed(corners))
        faces.append(Face((*corners, *top), (0.0, -1.0, 0.0), tube, 1.0))
    return Solid((*board, *faces))


FURNITURE: dict[PropKind, Solid] = {
    PropKind.LAMP: _lamp(),
    PropKind.BENCH: _bench(),
    PropKind.PLANTER: _planter(),
    PropKind.BOLLARD: _bollard(),
    PropKind.BIN: _bin(),
    PropKind.PARKED_CAR: vehicle(VehicleKind.CAR, PARKED),
}
