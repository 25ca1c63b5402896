"""Traits -> how far they are from all that normal footage has shown: a Gaussian mixture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.linalg import solve_triangular
from scipy.special import logsumexp

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Mixture(BaseModel):
    """A Gaussian mixture over D traits, as a card keeps it.

    mean, scale: D each; traits are standardised with them. weights: K. means: K x D, and choleskys:
    K x D x D, lower factors of the covariances, of the standardised traits. peak: the greatest
    log density on the footage that it was fitted to.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    means: tuple[tuple[float, ...], ...]
    choleskys: tuple[tuple[tuple[float, ...], ...], ...]
    peak: float

    def distances(self, traits: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, D) -> (N,): sqrt(2 (peak - log density)), at least 0.

        With one Gaussian this is Mahalanobis' distance; a mixture's is measured alike (ours).
        """
        excess = self.peak - self._log_density(traits)
        distances: NDArray[np.float32] = np.sqrt(np.maximum(2.0 * excess, 0.0)).astype(np.float32)
        return distances

    def _log_density(self, traits: NDArray[np.float32]) -> NDArray[np.float64]:
        points = (traits - np.asarray(self.mean)) / np.asarray(self.scale)
        parts = []
        for weight, mean, factor in zip(self.weights, self.means, self.choleskys, strict=True):
            lower = np.asarray(factor)
            whitened = solve_triangular(lower, (points - np.asarray(mean)).T, lower=True)
            normaliser = np.log(np.diag(lower)).sum() + 0.5 * len(mean) * np.log(2 * np.pi)
            parts.append(np.log(weight) - normaliser - 0.5 * np.square(whitened).sum(axis=0))
        density: NDArray[np.float64] = logsumexp(np.stack(parts), axis=0)
        return density
