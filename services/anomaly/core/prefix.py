"""Errors of one clip and how many of its first frames are known to be normal -> errors in units of
that clip's own spread. Ours: for test sets of many cameras, each seen too briefly to be learnt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

GAUSSIAN_MAD = 1.4826
"""Standard deviations in a median absolute deviation, for a normal distribution."""

LEAST_SPREAD = 0.05
"""Of the median: a few frames alike are no proof that all others will be (ours)."""


def standardised(errors: NDArray[np.floating], *, reference: int) -> NDArray[np.float64]:
    """(F,) -> (F,): distance from the median of the first `reference` frames, in their spread.

    reference: at least 1. The spread is their median absolute deviation, in standard deviations,
    and at least LEAST_SPREAD of the median, so the result has no unit and two scorers of
    different scale can be compared; a reference of nothing but zeros has no spread, and errors
    keep their unit. Frames from `reference` on are judged by their past alone.
    """
    values = np.asarray(errors, dtype=np.float64)
    known = values[:reference]
    median = float(np.median(known))
    spread = GAUSSIAN_MAD * float(np.median(np.abs(known - median)))
    unit = max(spread, LEAST_SPREAD * abs(median)) or 1.0
    result: NDArray[np.float64] = (values - median) / unit
    return result
