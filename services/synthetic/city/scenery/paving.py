"""A ground material and its size in metres -> its texture from above."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.synthetic.city.drawing.sprite import Rgb

Texture = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
"""(H, W, 3), 0 to 255; rows run along v (away from the camera) or down a wall, columns along u."""

GROUND_PX_PER_M = 48


class Ground(StrEnum):
    SLABS = "slabs"
    PAVERS = "pavers"
    SETTS = "setts"
    TACTILE = "tactile"
    KERB = "kerb"
    ASPHALT = "asphalt"
    CYCLE_LANE = "cycle_lane"
    LAWN = "lawn"
    GRAVEL = "gravel"


def ground_texture(
    kind: Ground, rng: np.random.Generator, length_m: float, width_m: float, tint: Rgb
) -> Texture:
    """length_m along u, width_m along v; tint: the material's mean colour."""
    rows = max(round(width_m * GROUND_PX_PER_M), 2)
    columns = max(round(length_m * GROUND_PX_PER_M), 2)
    return LAYERS[kind](rng, rows, columns, tint)


def cloudy(rng: np.random.Generator, rows: int, columns: int, cell_px: float) -> Texture:
    """(rows, columns) of smooth noise, mean 0, standard deviation near 1; cell_px: its grain."""
    coarse = rng.normal(0, 1, (int(rows / cell_px) + 3, int(columns / cell_px) + 3))
    field = cv2.resize(coarse.astype(np.float32), (columns, rows), interpolation=cv2.INTER_CUBIC)
    return np.asarray(field, np.float32)


def plain(rng: np.random.Generator, rows: int, columns: int, tint: Rgb, grain: float) -> Texture:
    """One colour with stains of several sizes; grain: strength of the finest, gray levels."""
    light = (
        grain * rng.normal(0, 1, (rows, columns)).astype(np.float32)
        + 1.6 * cloudy(rng, rows, columns, 20)
        + 2.4 * cloudy(rng, rows, columns, 120)
    )
    return np.asarray(np.array(tint, np.float32) + light[..., None], np.float32)


def tiled(
    rng: np.random.Generator,
    texture: Texture,
    *,
    tile_m: tuple[float, float],
    uneven: float,
    joint: float,
) -> Texture:
    """Rows of staggered tiles. tile_m: along u, along v; uneven: gray levels by which tiles differ;
    joint: how much darker the joints are."""
    rows, columns = texture.shape[:2]
    long, wide = (size * GROUND_PX_PER_M for size in tile_m)
    joint_px = max(round(0.012 * GROUND_PX_PER_M), 1)
    for row in range(int(rows / wide) + 1):
        top, bottom = round(row * wide), round((row + 1) * wide)
        shift = (row % 2) * long / 2
        tone = rng.normal(0, uneven, int(columns / long) + 3)
        warmth = rng.normal(0, uneven / 3, int(columns / long) + 3)
        for n in range(int(columns / long) + 2):
            left, right = max(round(n * long - shift), 0), round((n + 1) * long - shift)
            texture[top:bottom, left:right] += (tone[n] + warmth[n], tone[n], tone[n] - warmth[n])
            texture[top:bottom, left : left + joint_px] -= joint
        texture[top : top + joint_px] -= joint
    return texture


def _slabs(rng: np.random.Generator, rows: int, columns: int, tint: Rgb) -> Texture:
    return tiled(rng, plain(rng, rows, columns, tint, 2.0), tile_m=(0.9, 0.6), uneven=4.0, joint=26)


def _pavers(rng: np.random.Generator, rows: int, columns: int, tint: Rgb) -> Texture:
    return tiled(
        rng, plain(rng, rows, columns, tint, 2.5), tile_m=(0.5, 0.25), uneven=6.0, joint=20
    )


def _setts(rng: np.random.Generator, rows: int, columns: int, tint: Rgb) -> Texture:
    return tiled(rng, plain(rng, rows, columns, tint, 3.0), tile_m=(0.3, 0.3), uneven=8.0, joint=22)


def _tactile(rng: np.random.Generator, rows: int, columns: int, tint: Rgb) -> Texture:
    """The ribbed guide path for blind people."""
    texture = plain(rng, rows, columns, tint, 2.0)
    ribs = max(round(rows / 5), 2)
    for row in range(0, rows, ribs):
        texture[row : row + max(ribs // 3, 1)] -= 24
    texture[:, :: round(0.4 * GROUND_PX_PER_M)] -= 30
    return texture


def _kerb(rng: np.random.Generator, rows: int, columns: int, tint: Rgb) -> Texture:
    texture = plain(rng, rows, columns, tint, 2.0)
    texture[:, :: round(1.0 * GROUND_PX_PER_M)] -= 40
    texture[: max(rows // 5, 1)] += 18
    texture[-max(rows // 4, 1) :] -= 46
    return texture


def _asphalt(rng: np.random.Generator, rows: int, columns: int, tint: Rgb) -> Texture:
    texture = plain(rng, rows, columns, tint, 4.5)
    across = np.linspace(0, 4 * np.pi, rows, dtype=np.float32)
    texture += (3.5 * np.cos(across))[:, None, None]
    return texture


def _lawn(rng: np.random.Generator, rows: int, columns: int, tint: Rgb) -> Texture:
    blades = rng.normal(0, 1, (rows, columns)).astype(np.float32)
    blades = cv2.GaussianBlur(blades, (3, 5), 0.9) * 14 + 6 * cloudy(rng, rows, columns, 14)
    mown = 5 * np.sign(np.sin(np.arange(columns) / (1.1 * GROUND_PX_PER_M) * np.pi))
    light = blades + mown[None, :].astype(np.float32) + 5 * cloudy(rng, rows, columns, 160)
    return np.asarray(
        np.array(tint, np.float32) + light[..., None] * np.array((0.9, 1.0, 0.55), np.float32),
        np.float32,
    )


def _gravel(rng: np.random.Generator, rows: int, columns: int, tint: Rgb) -> Texture:
    return plain(rng, rows, columns, tint, 9.0)


LAYERS: dict[Ground, Callable[[np.random.Generator, int, int, Rgb], Texture]] = {
    Ground.SLABS: _slabs,
    Ground.PAVERS: _pavers,
    Ground.SETTS: _setts,
    Ground.TACTILE: _tactile,
    Ground.KERB: _kerb,
    Ground.ASPHALT: _asphalt,
    Ground.CYCLE_LANE: _asphalt,
    Ground.LAWN: _lawn,
    Ground.GRAVEL: _gravel,
}
