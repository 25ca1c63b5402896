"""A clip and its reconstruction -> how badly each patch of each frame was reconstructed.

Zhao et al. (ACM MM 2017) score a frame by e(t), the mean over its pixels of the squared difference
between frame and reconstruction. A small anomaly drowns in that mean, so the map keeps the mean
per patch, and a frame may be scored by its worst patch instead, or by the largest connected region
of patches that stand out: one large thing that is drawn badly, where a crowd is many small ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt
from scipy.ndimage import generate_binary_structure, label, uniform_filter, uniform_filter1d

from services.anomaly.core.median import median_over_time

if TYPE_CHECKING:
    from services.anomaly.core.clip import Clip

Maps = np.ndarray[tuple[int, int, int], np.dtype[np.float32]]
"""T maps of R x K patches: mean squared error, pixels in [0, 1]."""

FrameErrors = np.ndarray[tuple[int], np.dtype[np.float32]]
"""One error per frame, in the unit of the maps."""

WITHIN_A_FRAME = np.pad(generate_binary_structure(2, 1)[None], ((1, 1), (0, 0), (0, 0)))
"""Patches of one map that share a side belong together; those of two maps never do."""

FrameScoring = Literal["mean", "max_patch", "largest_region"]


class Reading(BaseModel):
    """How the errors of a clip are read. All of it is ours, and by default off: the paper's errors.

    A card keeps it in its settings, as `reading`: the prior was measured with it.

    moving: of clip and reconstruction only what differs from each one's median over time counts.
    A network that draws a wall too smooth makes the same error in every frame; that is no event.
    patches, frames: box over which the maps are averaged. steady: frames over which a frame's score
    is averaged. floor, ceiling: for `largest_region`, the error from which a patch belongs to a
    region, and the most that it adds, lest one glaring patch outweigh a large thing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    moving: bool = False
    patches: PositiveInt = 1
    frames: PositiveInt = 1
    steady: PositiveInt = 1
    floor: PositiveFloat = 0.005
    ceiling: PositiveFloat = 0.05


def moving_part(clip: Clip) -> Clip:
    """(C, T, H, W) without its median over time: what stands still is zero."""
    moving: Clip = clip - median_over_time(clip)
    return moving


def patch_errors(clip: Clip, reconstruction: Clip, *, patch: int) -> Maps:
    """(C, T, H, W) twice -> (T, H / patch, W / patch).

    patch: side of a patch in pixels; H and W are multiples of it.
    """
    difference = clip - reconstruction
    np.multiply(difference, difference, out=difference)
    channels, frames, height, width = difference.shape
    # Whole rows first: they are added as vectors, and leave an eighth for the sums along them.
    rows = difference.reshape(channels, frames, height // patch, patch, width).sum(axis=3)
    maps: Maps = rows.reshape(*rows.shape[:3], width // patch, patch).sum(axis=(0, 4))
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


def frame_errors(maps: Maps, scoring: FrameScoring, reading: Reading) -> FrameErrors:
    """(T, R, K) -> (T,): the paper's mean over the frame, the frame's worst patch, or the summed
    error of its largest region, as a mean over the frame's patches."""
    if scoring == "largest_region":
        errors = _largest_regions(maps, reading)
    else:
        reduce = np.mean if scoring == "mean" else np.max
        errors = reduce(maps, axis=(1, 2))
    if reading.steady > 1:
        errors = uniform_filter1d(errors, reading.steady, mode="nearest")
    return errors


def _largest_regions(maps: Maps, reading: Reading) -> FrameErrors:
    regions, _ = label(maps > reading.floor, structure=WITHIN_A_FRAME)
    capped = np.minimum(maps, reading.ceiling)
    sums = np.bincount(regions.ravel(), weights=capped.ravel())
    sums[0] = 0.0  # what belongs to no region
    largest: FrameErrors = sums[regions].max(axis=(1, 2)) / maps[0].size
    return largest.astype(np.float32)
