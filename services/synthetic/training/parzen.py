"""Made images -> the log-likelihood of real ones under a Parzen window on each made one.

As Goodfellow et al. (NIPS 2014) and those after them measured MNIST: log p(x) = log mean_j
N(x; m_j, sigma^2) of 10,000 made images m_j, in nats, sigma chosen on validation images. Blurred
and central images score best (Theis, van den Oord, Bethge, "A note on the evaluation of generative
models", ICLR 2016): real training images under the same protocol are the figure to stand beside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import logsumexp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Points = NDArray[np.float32]

SIGMAS = np.logspace(-1, 0, 10)
BLOCK = 500


class Likelihood(NamedTuple):
    """mean: over the test images, in nats. error: its standard error. sigma: of the window."""

    mean: float
    error: float
    sigma: float


def parzen_likelihood(made: Points, validation: Points, test: Points) -> Likelihood:
    """(N, D) each, pixels in [0, 1]."""
    scores = log_densities(made, validation, SIGMAS).mean(axis=1)
    sigma = float(SIGMAS[scores.argmax()])
    (densities,) = log_densities(made, test, np.array([sigma]))
    error = float(densities.std(ddof=1) / np.sqrt(len(densities)))
    return Likelihood(float(densities.mean()), error, sigma)


def log_densities(made: Points, points: Points, sigmas: NDArray[np.float64]) -> NDArray[np.float64]:
    """-> (sigmas, points): log p of each point."""
    dimensions = made.shape[1]
    lengths = np.square(made).sum(axis=1)
    found = np.empty((len(sigmas), len(points)))
    for start in range(0, len(points), BLOCK):
        block = points[start : start + BLOCK]
        far = np.square(block).sum(axis=1)[:, None] - 2 * block @ made.T + lengths
        for row, sigma in enumerate(sigmas):
            kernels = logsumexp(far.astype(np.float64) / (-2 * sigma**2), axis=1)
            found[row, start : start + BLOCK] = kernels
    norms = np.log(len(made)) + dimensions * np.log(sigmas * np.sqrt(2 * np.pi))
    found -= norms[:, None]
    return found
