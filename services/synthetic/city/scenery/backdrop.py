"""A street -> the empty scene that its camera sees, in true colours."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from services.synthetic.city.scenery.facade import WALL_PX_PER_M, facade_texture
from services.synthetic.city.scenery.paving import GROUND_PX_PER_M, Texture, ground_texture
from services.synthetic.city.scenery.street import REACH_M, PropKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.synthetic.city.drawing.pinhole import Pinhole
    from services.synthetic.city.scenery.street import Prop, Street, Wall

OVERSAMPLING = 3
"""Rays for each pixel and direction."""

SKY = ((186, 208, 230), (224, 232, 238))
"""Colours at the zenith and at the horizon."""

HAZE = (206, 214, 222)
HAZE_M = 140.0
"""Distance over which haze swallows two thirds of a colour (ours)."""


def render_backdrop(street: Street, camera: Pinhole, rng: np.random.Generator) -> Texture:
    """(H, W, 3), 0 to 255: ground, walls and sky, without what stands or moves there."""
    rays = camera.rays(OVERSAMPLING)
    eye = camera.position
    image: Texture = np.empty(rays.shape, np.float32)
    ground = _ground(street, rng)
    distance = np.full(rays.shape[:2], np.inf, np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        downward = rays[..., 2] < -1e-6
        reach = np.where(downward, -eye[2] / rays[..., 2], np.inf)
        u, v = eye[0] + reach * rays[..., 0], eye[1] + reach * rays[..., 1]
    _lay(image, ground, u + REACH_M, v - street.near_v, GROUND_PX_PER_M, downward)
    distance[downward] = reach[downward]
    for wall in street.walls:
        _raise_wall(image, distance, rays, eye, wall, rng)
    open_sky = ~np.isfinite(distance)
    image[open_sky] = _sky(rays[open_sky])
    fog = (1 - np.exp(-np.minimum(distance, 1e3) / HAZE_M))[..., None].astype(np.float32)
    fog[open_sky] = 0
    hazy = image + (np.array(HAZE, np.float32) - image) * fog
    small = cv2.resize(hazy, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def _sky(rays: NDArray[np.float32]) -> Texture:
    """Colours (N, 3) of rays (N, 3)."""
    steepness = rays[..., 2] / np.linalg.norm(rays, axis=-1)
    share = np.clip(steepness * 2, 0, 1)[..., None]
    zenith, horizon = np.array(SKY[0]), np.array(SKY[1])
    return np.asarray(horizon + (zenith - horizon) * share, np.float32)


def _ground(street: Street, rng: np.random.Generator) -> Texture:
    """All strips, one below the other, with markings and the soft shade around what stands."""
    length = 2 * REACH_M
    ground = np.concatenate(
        [
            ground_texture(strip.ground, rng, length, strip.width_m, strip.tint)
            for strip in street.strips
        ]
    )
    for marking in street.markings:
        top = round((marking.v - street.near_v) * GROUND_PX_PER_M)
        thick = max(round(marking.width_m * GROUND_PX_PER_M), 1)
        period = round(marking.dash_m * GROUND_PX_PER_M) or ground.shape[1]
        for left in range(0, ground.shape[1], 2 * period if marking.dash_m else period):
            paint = ground[top : top + thick, left : left + period]
            paint[:] = 0.25 * paint + 0.75 * np.array((226, 226, 220), np.float32)
    shade = np.ones(ground.shape[:2], np.float32)
    for prop in street.props:
        _cast(shade, prop, street.near_v)
    for wall in street.walls:
        foot = (wall.v - street.near_v) * GROUND_PX_PER_M
        rows = np.arange(ground.shape[0])
        shade *= (1 - 0.38 * np.exp(-np.abs(rows - foot) / (0.5 * GROUND_PX_PER_M)))[:, None]
    return np.asarray(ground * shade[..., None], np.float32)


def _cast(shade: Texture, prop: Prop, near_v: float) -> None:
    """The shade of a thing on the ground: dappled and wide under a tree, a spot under others."""
    # Shade is soft: an eighth of the resolution is enough.
    per_m = GROUND_PX_PER_M / 8
    spot: Texture = np.zeros((shade.shape[0] // 8, shade.shape[1] // 8), np.float32)
    x, y = (prop.u + REACH_M) * per_m, (prop.v - near_v) * per_m
    if prop.kind is PropKind.TREE:
        for turn in (np.arange(9) * 2.4).tolist():
            reach = per_m * 0.45 * math.sqrt(turn)
            at = (
                round(x + reach * math.cos(turn) + 0.6 * per_m),
                round(y + reach * math.sin(turn)),
            )
            cv2.circle(spot, at, round(0.62 * per_m), 0.3, -1)
        softness = 0.16
    else:
        wide, deep = (2.3, 1.1) if prop.kind is PropKind.PARKED_CAR else (0.55, 0.3)
        size = (round(wide * per_m * prop.size), round(deep * per_m * prop.size))
        cv2.ellipse(spot, (round(x), round(y)), size, 0, 0, 360, 0.5, -1)
        softness = 0.2
    soft = cv2.GaussianBlur(spot, (0, 0), softness * per_m)
    shade *= 1 - cv2.resize(soft, (shade.shape[1], shade.shape[0]), interpolation=cv2.INTER_LINEAR)


def _raise_wall(
    image: Texture,
    distance: NDArray[np.float32],
    rays: NDArray[np.float32],
    eye: tuple[float, float, float],
    wall: Wall,
    rng: np.random.Generator,
) -> None:
    """Draws the wall where it is nearer than what is already there."""
    texture = facade_texture(wall.facade, rng, 2 * REACH_M, wall.height_m, wall.tint)
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = np.where(rays[..., 1] > 1e-6, (wall.v - eye[1]) / rays[..., 1], np.inf)
        u, z = eye[0] + reach * rays[..., 0], eye[2] + reach * rays[..., 2]
    hit = (reach > 0) & (reach < distance) & (z >= 0) & (z <= wall.height_m)
    # The foot of a wall is darker: dirt, and light that the ground keeps away.
    heights = np.linspace(wall.height_m, 0, texture.shape[0], dtype=np.float32)
    texture *= (1 - 0.22 * np.exp(-heights / 0.4))[:, None, None]
    _lay(image, texture, u + REACH_M, wall.height_m - z, WALL_PX_PER_M, hit)
    distance[hit] = reach[hit]


def _lay(
    image: Texture,
    texture: Texture,
    across_m: NDArray[np.float32],
    down_m: NDArray[np.float32],
    px_per_m: float,
    where: NDArray[np.bool_],
) -> None:
    """Samples a texture at metres from its upper left corner, mirrored beyond its edges."""
    columns = np.where(where, across_m * px_per_m - 0.5, 0).astype(np.float32)
    rows = np.where(where, down_m * px_per_m - 0.5, 0).astype(np.float32)
    sampled = cv2.remap(texture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    image[where] = sampled[where]
