"""A presence and a camera -> the soft shade where it touches the ground."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from services.synthetic.city.drawing.sprite import Canvas, Sprite, place
from services.synthetic.city.presence import Body, Presence, Thing

if TYPE_CHECKING:
    from services.synthetic.city.drawing.pinhole import Pinhole
    from shared.images import Pixels

SHADE = 110
"""Strength of the shade, of 255 (ours)."""

BODY_M = 0.72
"""Width of the shade below someone who stands (ours)."""


def _soft_disc() -> Pixels:
    """(32, 64): what a standing body's shade is stretched from."""
    y, x = np.mgrid[-1:1:32j, -1:1:64j]
    fall = np.clip(1.0 - np.sqrt(x * x + y * y), 0, 1)
    disc: Pixels = np.rint(SHADE * np.minimum(1.0, 1.6 * fall)).astype(np.uint8)
    return disc


DISC = _soft_disc()


def shadow_of(presence: Presence, camera: Pinhole) -> Sprite:
    return _below_body(presence, camera) if isinstance(presence, Body) else _below(presence, camera)


def _below_body(body: Body, camera: Pinhole) -> Sprite:
    stance, fallen = body.stance, body.posture.fallen
    x, y, depth = camera.sight(stance.u, stance.v, 0.0)
    wide = BODY_M * (1 + fallen) * camera.focal_px / depth
    flat = camera.position[2] / math.hypot(depth, camera.position[2])
    columns, rows = max(round(wide), 2), max(round(wide * flat * (1 - 0.3 * fallen)), 2)
    stretched = cv2.resize(DISC, (columns, rows), interpolation=cv2.INTER_AREA)
    coverage = np.asarray(stretched, np.uint8)
    return Sprite(round(x - columns / 2), round(y - rows / 2), None, coverage)


def _below(thing: Thing, camera: Pinhole) -> Sprite:
    reach, aside = 0.54 * thing.length_m, 0.56 * thing.width_m
    corners = np.array(
        [(reach, aside, 0.0), (reach, -aside, 0.0), (-reach, -aside, 0.0), (-reach, aside, 0.0)]
    )
    world = corners @ thing.stance.turn() + (thing.stance.u, thing.stance.v, 0.0)
    pixels, _ = camera.project(world)
    placed = place(pixels)
    canvas = Canvas(placed)
    canvas.fill_hull(placed - canvas.origin, (0.0, 0.0, 0.0, 255.0))
    sprite = canvas.sprite()
    dim = cv2.convertScaleAbs(sprite.coverage, alpha=SHADE * 1.3 / 255)
    blurred = cv2.blur(dim, (5, 5), borderType=cv2.BORDER_CONSTANT)
    return Sprite(sprite.x, sprite.y, None, np.asarray(blurred, np.uint8))
