"""Flat faces in metres, a place and a camera -> the sprite of a thing with edges."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from services.synthetic.city.drawing.sprite import Canvas, Sprite, place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from services.synthetic.city.drawing.pinhole import Pinhole
    from services.synthetic.city.drawing.sprite import Ink, Rgb
    from services.synthetic.city.drawing.stance import Stance

Point = tuple[float, float, float]

SUN: Point = (-0.35, -0.45, 0.82)
"""Where the light comes from, in site coordinates."""

AMBIENT = 0.62
"""Share of the light that reaches a face that is turned away from the sun (ours)."""


class Face(NamedTuple):
    """A convex polygon of points in the thing's own axes: forward, left, up.

    It is seen only from the side that `normal` points to. gloss: how much its colour resists shade.
    """

    points: tuple[Point, ...]
    normal: Point
    colour: Rgb
    gloss: float = 0.0


@dataclass(frozen=True)
class Solid:
    """Faces in the order in which they are drawn."""

    faces: tuple[Face, ...]

    @cached_property
    def points(self) -> NDArray[np.float64]:
        """(N, 3): the corners of all faces, one after the other."""
        return np.array([point for face in self.faces for point in face.points])

    @cached_property
    def normals(self) -> NDArray[np.float64]:
        """(faces, 3)."""
        return np.array([face.normal for face in self.faces])

    @cached_property
    def starts(self) -> NDArray[np.intp]:
        """(faces + 1,): where each face's corners begin in `points`."""
        return np.cumsum([0, *(len(face.points) for face in self.faces)])


def prism(
    profile: Iterable[tuple[float, float]],
    half_width: float,
    colour: Rgb,
    *,
    left: float = 0.0,
    gloss: float = 0.0,
) -> tuple[Face, ...]:
    """A convex profile of (forward, up), counter-clockwise seen from the right side, drawn out to
    both sides of `left`."""
    outline = tuple(profile)
    near, far = left - half_width, left + half_width
    faces = [
        Face(tuple((x, near, z) for x, z in outline), (0.0, -1.0, 0.0), colour, gloss),
        Face(tuple((x, far, z) for x, z in outline), (0.0, 1.0, 0.0), colour, gloss),
    ]
    for (x0, z0), (x1, z1) in zip(outline, (*outline[1:], outline[0]), strict=True):
        length = float(np.hypot(x1 - x0, z1 - z0))
        normal = ((z1 - z0) / length, 0.0, (x0 - x1) / length)
        corners = ((x0, near, z0), (x1, near, z1), (x1, far, z1), (x0, far, z0))
        faces.append(Face(corners, normal, colour, gloss))
    return tuple(faces)


def block(
    length: float,
    width: float,
    height: float,
    colour: Rgb,
    *,
    forward: float = 0.0,
    left: float = 0.0,
    above: float = 0.0,
) -> tuple[Face, ...]:
    """A box whose lower face has its middle at (forward, left, above)."""
    low, high = forward - length / 2, forward + length / 2
    profile = ((low, above), (high, above), (high, above + height), (low, above + height))
    return prism(profile, width / 2, colour, left=left)


def draw_solid(
    solid: Solid, stance: Stance, camera: Pinhole, palette: Callable[[Rgb], Ink]
) -> Sprite:
    """palette: true colour to the camera's colour."""
    turn = stance.turn()
    world = solid.points @ turn
    world[:, :2] += (stance.u, stance.v)
    normals = solid.normals @ turn
    firsts = world[solid.starts[:-1]]
    turned_to_us = ((np.array(camera.position) - firsts) * normals).sum(axis=1) > 0
    light = AMBIENT + (1 - AMBIENT) * np.clip(normals @ np.array(SUN), 0, 1) * 1.15
    pixels, _ = camera.project(world)
    placed = place(pixels)
    canvas = Canvas(placed)
    placed -= canvas.origin
    for n in np.flatnonzero(turned_to_us).tolist():
        face = solid.faces[n]
        shade = face.gloss + (1 - face.gloss) * float(light[n])
        red, green, blue = face.colour
        ink = palette((red * shade, green * shade, blue * shade))
        canvas.fill_hull(placed[solid.starts[n] : solid.starts[n + 1]], ink)
    return canvas.sprite()
