"""The strengths of the strongest events -> the level that few of them reach, beyond what was seen.

Peaks over a threshold: whatever the events are like, what the large ones have above a high
threshold follows a generalised Pareto distribution (Balkema and de Haan 1974, Pickands 1975; Coles,
An Introduction to Statistical Modeling of Extreme Values, 2001, chapter 4). Few events say next to
nothing about its shape, so that this has a prior (Martins and Stedinger, Generalized maximum
likelihood Pareto-Poisson estimators for partial duration series, 2001). The posterior is summed up
on a grid, which needs no starting point and always ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

SHAPE_LIMIT = 0.5
SHAPE_PRIOR = (9.0, 6.0)
"""The prior of the shape: this beta distribution on [-0.5, 0.5], whose mean is 0.1 (Martins and
Stedinger; their sign of the shape is the other one)."""

SHAPES, SCALES, RATES = 31, 97, 21
"""Points of the grid. Scales run from an eighth to eight times the mean excess (ours)."""

CONFIDENCE = 0.9


@dataclass(frozen=True)
class Level:
    """value: the median belief of what is exceeded at the wanted rate. low, high: its interval of
    90 %."""

    value: float
    low: float
    high: float


def level_exceeded(
    peaks: npt.NDArray[np.float64], above: float, days: float, per_day: float
) -> Level:
    """The level that `per_day` events a day exceed.

    peaks: (N,) of the events of `days` days that exceed `above`, N >= 1. Their rate is believed to
    be what a Poisson count of N says (Jeffreys' prior). Never below `above`.
    """
    # scipy's distributions take more than a second to import: those who calibrate wait for it.
    from scipy.stats import beta, gamma, genpareto

    excesses = np.maximum(np.asarray(peaks, np.float64) - above, 0.0)
    mean = max(float(excesses.mean()), 1e-9)
    centres = (np.arange(SHAPES) + 0.5) / SHAPES
    shape = (2 * SHAPE_LIMIT * centres - SHAPE_LIMIT)[:, None]
    scale = mean * np.geomspace(1 / 8, 8, SCALES)[None, :]
    belief = beta.logpdf(centres, *SHAPE_PRIOR)[:, None] + sum(
        genpareto.logpdf(excess, shape, scale=scale) for excess in excesses
    )
    weight = np.exp(belief - belief.max())
    rate = gamma.ppf((np.arange(RATES) + 0.5) / RATES, len(excesses) + 0.5) / days
    beyond = np.minimum(per_day / rate, 1.0)
    level = above + genpareto.isf(beyond, shape[..., None], scale=scale[..., None])
    weights = np.broadcast_to(weight[..., None], level.shape)
    tails = [(1 - CONFIDENCE) / 2, 0.5, (1 + CONFIDENCE) / 2]
    low, value, high = np.quantile(
        level.ravel(), tails, weights=weights.ravel(), method="inverted_cdf"
    ).tolist()
    return Level(value, low, high)
