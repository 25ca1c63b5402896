"""A clip and its reconstruction -> how badly each patch of each frame was reconstructed.

Zhao et al. (ACM MM 2017) score a frame by e(t), the mean over its pixels of the squared difference
between frame and reconstruction. A small anomaly drowns in that mean, so the map keeps the mean
per patch, and a frame may be scored by its worst patch instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.ndimage import uniform_filter

if TYPE_CHECKING:
    from services.anomaly.core.clip import Clip

Maps = np.ndarray[tuple[int, int, int], np.dtype[np.float32]]
"""T maps of R x K patches: mean squared error, pixels in [0, 1]."""

FrameErrors = np.ndarray[tuple[int], np.dtype[np.float32]]
"""One error per frame, in the unit of the maps."""

FrameScoring = Literal["mean", "max_patch"]


def patch_errors(clip: Clip, reconstruction: Clip, *, patch: int) -> Maps:
    """(C, T, H, W) twice -> (T, H / patch, W / patch).

    patch: side of a patch in pixels; H and W are multiples of it.
    """
    difference = clip - reconstruction
    np.multiply(difference, difference, out=difference)
    channels, frames, height, width = difference.shape
    # C T H W -> C T R p K p; the last axis first, since it is the contiguous one.
    patches = difference.reshape(channels, frames, height // patch, patch, width // patch, patch)
    maps: Maps = patches.sum(axis=5).sum(axis=(0, 3))
    maps *= 1.0 / (channels * patch * patch)
    return maps


def smooth(maps: Maps, *, patches: int, frames: int) -> Maps:
    """Means over boxes of `patches` x `patches` patches and `frames` frames (1: untouched).

    Ours, not the paper's: one patch of one frame is a noisy witness.
    """
    if patches == 1 and frames == 1:
        return maps
    smoothed: Maps = uniform_filter(maps, size=(frames, patches, patches), mode="nearest")
    return smoothed


def frame_errors(maps: Maps, scoring: FrameScoring) -> FrameErrors:
    """(T, R, K) -> (T,): the paper's mean over the frame, or the frame's worst patch."""
    reduce = np.mean if scoring == "mean" else np.max
    errors: FrameErrors = reduce(maps, axis=(1, 2))
    return errors
