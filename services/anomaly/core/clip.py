"""Gray frames of one size -> the array that the network takes."""

from __future__ import annotations

import numpy as np

GrayClip = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]
"""T frames of H x W pixels."""

Clip = np.ndarray[tuple[int, int, int, int], np.dtype[np.float32]]
"""C x T x H x W, as one element of the network's batch."""

WHITE = 255.0


def to_network_input(frames: GrayClip, *, mean: float = 0.0, std: float = 1.0) -> Clip:
    """(T, H, W) uint8 -> (1, T, H, W) float32, each pixel as (pixel / 255 - mean) / std."""
    # In one pass and in place: a clip is a megabyte, and this runs for every one of them.
    clip: Clip = np.multiply(frames[None], np.float32(1.0 / (WHITE * std)), dtype=np.float32)
    if mean:
        clip -= mean / std
    return clip
