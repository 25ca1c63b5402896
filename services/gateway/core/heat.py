"""A frame and its error map -> one picture: where the abnormal is, in yellow to red."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from shared.images import Pixels
    from shared.messages import ErrorMap

STRONGEST = 0.75
"""Share of the colour over the frame where the map is at its maximum (ours)."""


def grid_of(error_map: ErrorMap) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """The map as (rows, columns)."""
    flat = np.frombuffer(error_map.values, "<f2").astype(np.float32)
    return flat.reshape(error_map.rows, error_map.columns)


def overlay(frame: Pixels, error_map: ErrorMap) -> Pixels:
    """The rgb frame (H, W, 3) with the map over it, scaled to the map's own maximum."""
    height, width = frame.shape[:2]
    grid = grid_of(error_map)
    relative = grid / max(float(grid.max()), 1e-12)
    smooth = Image.fromarray((relative * 255).astype(np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    heat = np.asarray(smooth, dtype=np.float32)[..., None] / 255
    colour = np.concatenate(
        [np.full_like(heat, 255), 220 * (1 - heat), np.zeros_like(heat)], axis=-1
    )
    share = STRONGEST * heat**1.5
    return (frame * (1 - share) + colour * share).astype(np.uint8)
