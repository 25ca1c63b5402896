"""A costume, a posture and a place -> the sprite that a camera sees."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from services.synthetic.city.drawing.sprite import Canvas, Sprite, place_balls
from services.synthetic.city.people.gait import Joint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from services.synthetic.city.drawing.pinhole import Pinhole
    from services.synthetic.city.drawing.sprite import Ink
    from services.synthetic.city.drawing.stance import Stance
    from services.synthetic.city.people.tailor import Costume

SHADE = np.rint(np.linspace(0.62, 1.0, 256) * 255).astype(np.uint8)
"""(256,): light on a pixel, by how much of the shape lies to its right and below (ours)."""


def draw_figure(
    costume: Costume,
    inks: Sequence[Ink],
    joints: NDArray[np.float64],
    stance: Stance,
    camera: Pinhole,
) -> Sprite:
    """joints: (20, 3) in body heights, as a Posture gives them. inks: one for each shape of the
    costume."""
    world = (joints * costume.height_m) @ stance.turn()
    world[: Joint.FORWARD, :2] += (stance.u, stance.v)
    pixels, depth = camera.project(costume.spots @ world)
    placed = place_balls(pixels, costume.radii * (costume.height_m * camera.focal_px) / depth)
    canvas = Canvas(placed)
    placed -= canvas.origin
    facing = _facing(world[Joint.FORWARD].tolist(), stance, camera)
    # Painter's order: limbs by their mean depth, the shapes of a limb as they were tailored.
    mean = np.bincount(costume.limb_of_ball, depth) / costume.balls_of_limb
    for limb in np.argsort(costume.nearer - mean, kind="stable").tolist():
        for shape in costume.limbs[limb]:
            farthest, nearest = shape.seen
            if farthest <= facing <= nearest:
                canvas.fill_hull(placed[shape.points], inks[shape.number])
    return rounded(canvas.sprite())


def _facing(forward: list[float], stance: Stance, camera: Pinhole) -> float:
    """Cosine of the angle between the body's front and the line to the viewer, on the ground."""
    across, along = camera.position[0] - stance.u, camera.position[1] - stance.v
    scale = math.hypot(forward[0], forward[1]) * math.hypot(across, along)
    return (forward[0] * across + forward[1] * along) / max(scale, 1e-9)


def rounded(sprite: Sprite) -> Sprite:
    """The sprite, in place, with its right and lower edges in shade: round, lit from the left."""
    reach = max(3, sprite.coverage.shape[1] // 5)
    # A box blur that looks to the right and down only is dark where the shape soon ends there.
    inside = cv2.blur(
        sprite.coverage, (reach, reach), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT
    )
    light = cv2.cvtColor(cv2.LUT(inside, SHADE), cv2.COLOR_GRAY2RGB)
    if sprite.colours is not None:
        cv2.multiply(sprite.colours, light, dst=sprite.colours, scale=1 / 255)
    return sprite
