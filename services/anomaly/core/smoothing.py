"""Errors of a video's frames -> the same, steadier. All of it ours, and none of it tuned."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter1d

if TYPE_CHECKING:
    from numpy.typing import NDArray


def centred_gaussian(errors: NDArray[np.floating], *, sigma: float) -> NDArray[np.float64]:
    """(F, ...) smoothed over time; frames before the first and after the last count as these.

    sigma: in frames, 0: untouched. It looks into the future, so no live camera has it; AI-VAD and
    others report figures after it.
    """
    values = np.asarray(errors, dtype=np.float64)
    if not sigma:
        return values
    smoothed: NDArray[np.float64] = gaussian_filter1d(values, sigma, axis=0, mode="nearest")
    return smoothed


def trailing_mean(errors: NDArray[np.floating], *, memory: float) -> NDArray[np.float64]:
    """(F, ...) each as the exponential mean of itself and what came before: a live camera has it.

    memory: frames after which a frame's weight has fallen to 1 / e, 0: untouched.
    """
    values = np.array(errors, dtype=np.float64)
    if not memory:
        return values
    kept = math.exp(-1.0 / memory)
    for frame in range(1, len(values)):
        values[frame] = kept * values[frame - 1] + (1.0 - kept) * values[frame]
    return values
