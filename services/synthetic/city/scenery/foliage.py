"""A tree or bush and a camera -> its sprite at every moment of a gentle sway."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.synthetic.city.drawing.sprite import Canvas, Sprite, place_balls
from services.synthetic.city.scenery.street import PropKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from services.synthetic.city.drawing.pinhole import Pinhole
    from services.synthetic.city.drawing.sprite import Ink, Rgb

SWAY_STEPS = 16
SWAY_M = 0.035
"""How far leaves move to each side (ours): about a pixel."""

BARK: Rgb = (92, 74, 58)


@dataclass(frozen=True)
class Foliage:
    """Tufts of leaves, drawn in order. centres: (N, 3) metres; radii: (N,); colours: (N, 3);
    phases: (N,) radians. trunk_m: height of the bare trunk, 0 for a bush."""

    u: float
    v: float
    trunk_m: float
    girth_m: float
    centres: NDArray[np.float64]
    radii: NDArray[np.float64]
    colours: NDArray[np.float64]
    phases: NDArray[np.float64]

    def draw(self, camera: Pinhole, palette: Callable[[Rgb], Ink], step: int) -> Sprite:
        turn = 2 * math.pi * step / SWAY_STEPS
        moved = self.centres.copy()
        moved[:, 0] += SWAY_M * np.sin(turn + self.phases)
        moved[:, 2] += 0.5 * SWAY_M * np.cos(turn + 2 * self.phases)
        pixels, depth = camera.project(moved)
        radii = self.radii * camera.focal_px / depth
        trunk = np.array([[self.u, self.v, 0.0], [self.u, self.v, self.trunk_m + 0.5]])
        trunk_px, trunk_depth = camera.project(trunk)
        girth = self.girth_m * camera.focal_px / trunk_depth * np.array((1.0, 0.7))
        balls = np.concatenate([trunk_px, pixels])
        reach = np.concatenate([girth, radii])
        placed = place_balls(balls, reach)
        # Crowns may tower far above the frame; what nobody sees is not drawn.
        canvas = Canvas(placed, top=-40)
        outlines = (placed - canvas.origin).reshape(len(balls), -1, 2)
        if self.trunk_m:
            canvas.fill_hull(outlines[:2].reshape(-1, 2), palette(BARK))
        for outline, (red, green, blue) in zip(outlines[2:], self.colours.tolist(), strict=True):
            canvas.fill_hull(outline, palette((red, green, blue)))
        return canvas.sprite()


GREENS: tuple[Rgb, ...] = ((78, 112, 52), (92, 118, 60), (70, 104, 66), (112, 124, 58))


def tree(rng: np.random.Generator, u: float, v: float, size: float) -> Foliage:
    return _grown(rng, u, v, trunk_m=2.0 * size, crown_m=1.25 * size, tufts=150)


def bush(rng: np.random.Generator, u: float, v: float, size: float) -> Foliage:
    return _grown(rng, u, v, trunk_m=0.0, crown_m=0.5 * size, tufts=60)


def potted(rng: np.random.Generator, u: float, v: float, size: float) -> Foliage:
    """A bush in a planter."""
    plant = bush(rng, u, v, 0.75 * size)
    plant.centres[:, 2] += 0.5
    return plant


def _grown(
    rng: np.random.Generator, u: float, v: float, *, trunk_m: float, crown_m: float, tufts: int
) -> Foliage:
    """Tufts on a ball, dark within and below, light above and outside, drawn in that order."""
    directions = rng.normal(0, 1, (tufts, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    shell = np.concatenate(
        [rng.uniform(0.1, 0.7, tufts // 3), rng.uniform(0.7, 1.0, tufts - tufts // 3)]
    )
    offsets = directions * shell[:, None] * crown_m * np.array((1.0, 1.0, 0.85))
    middle = trunk_m + crown_m * (0.75 if trunk_m else 0.62)
    size = np.where(shell < 0.7, 0.42, rng.uniform(0.13, 0.27, tufts)) * crown_m
    # Light comes from above and from the camera's left, as it does on the figures.
    lit = 0.5 * directions[:, 2] - 0.28 * directions[:, 0] - 0.22 * directions[:, 1]
    light = 0.82 + 0.3 * lit * shell + rng.normal(0, 0.06, tufts) - 0.22 * (shell < 0.7)
    green = np.array(GREENS[int(rng.integers(len(GREENS)))])
    colours = np.clip(green * light[:, None] * 1.12, 0, 255)
    order = np.argsort(shell * 0.7 + lit, kind="stable")
    centres = offsets + np.array((u, v, middle))
    centres[:, 2] = np.maximum(centres[:, 2], 0.12)
    return Foliage(
        u=u,
        v=v,
        trunk_m=trunk_m,
        girth_m=0.11,
        centres=centres[order],
        radii=size[order],
        colours=colours[order],
        phases=rng.uniform(0, 2 * math.pi, tufts)[order] * 0.5 + offsets[order, 0],
    )


PLANTS: dict[PropKind, Callable[[np.random.Generator, float, float, float], Foliage]] = {
    PropKind.TREE: tree,
    PropKind.BUSH: bush,
    PropKind.POT: potted,
}
