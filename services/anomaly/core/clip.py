"""Gray frames of one size -> the array that the network takes."""

from __future__ import annotations

import numpy as np

GrayClip = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]
"""T frames of H x W pixels."""

Clip = np.ndarray[tuple[int, int, int, int], np.dtype[np.float32]]
"""C x T x H x W, as one element of the network's batch."""

WHITE = 255.0


def to_network_input(
    frames: GrayClip, *, mean: float = 0.0, std: float = 1.0, out: Clip | None = None
) -> Clip:
    """(T, H, W) uint8 -> (1, T, H, W) float32, each pixel as (pixel / 255 - mean) / std.

    out: where the clip is written to, such as its place in a batch; a new array if None.
    """
    # In one pass and in place: a clip is a megabyte, and this runs for every one of them.
    scale = np.float32(1.0 / (WHITE * std))
    clip: Clip = np.multiply(frames[None], scale, dtype=np.float32, out=out)
    if mean:
        clip -= mean / std
    return clip
