"""Features of real and of made pictures -> how like the made ones are, and how much they cover.

- Kernel distance: Binkowski et al., "Demystifying MMD GANs", ICLR 2018, known as KID. It is
  unbiased at any size, which Frechet's is not below some ten thousand pictures.
- Precision and recall: Kynkaanniemi et al., "Improved Precision and Recall Metric for Assessing
  Generative Models", NeurIPS 2019; density and coverage: Naeem et al., "Reliable Fidelity and
  Diversity Metrics for Generative Models", ICML 2020.
- Frechet distance: Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local
  Nash Equilibrium", NIPS 2017. It is FID of Inception's features alone.

A figure means something beside others of the same features: they are named with the extractor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from shared.errors import Malformed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]

SUBSETS, SUBSET = 100, 1000
NEIGHBOURS = 5


class KernelDistance(NamedTuple):
    """mean and deviation over the subsets; the mean may be below zero, where two sets are as good
    as one."""

    mean: float
    deviation: float


class Manifolds(NamedTuple):
    """Shares in [0, 1], but for density, which may be above 1. precision: of made pictures that lie
    among real ones. recall: of real ones that lie among made ones. density: how many real
    neighbourhoods hold a made one, a share of the most there could be. coverage: of real ones that
    have a made one for a neighbour."""

    precision: float
    recall: float
    density: float
    coverage: float


def kernel_distance(
    real: Floats, made: Floats, random: np.random.Generator, *, subset: int = SUBSET
) -> KernelDistance:
    """(N, D) and (M, D) -> over subsets of both, half of the smaller set or `subset`.

    Raises Malformed (`too_few_pictures`).
    """
    size = min(subset, len(real) // 2, len(made) // 2)
    if size < 2:
        raise Malformed("a kernel distance takes four pictures of each", code="too_few_pictures")
    found = [
        squared_mmd(
            real[random.choice(len(real), size, replace=False)],
            made[random.choice(len(made), size, replace=False)],
        )
        for _ in range(SUBSETS)
    ]
    return KernelDistance(float(np.mean(found)), float(np.std(found)))


def squared_mmd(x: Floats, y: Floats) -> float:
    """Unbiased, of the kernel (x.y / D + 1)^3, between as many x as y, (N, D)."""
    count = len(x)
    own = sum(kernel.sum() - np.trace(kernel) for kernel in (_kernel(x, x), _kernel(y, y)))
    return float(own / (count * (count - 1)) - 2 * _kernel(x, y).mean())


def _kernel(x: Floats, y: Floats) -> NDArray[np.float64]:
    dots = x.astype(np.float64) @ y.astype(np.float64).T
    return np.asarray((dots / x.shape[1] + 1) ** 3)


def manifolds(real: Floats, made: Floats, *, neighbours: int = NEIGHBOURS) -> Manifolds:
    """(N, D) and (M, D). A neighbourhood is the ball around a picture that reaches to its k-th
    neighbour of its own set, k being `neighbours`.

    Raises Malformed (`too_few_pictures`).
    """
    if min(len(real), len(made)) <= neighbours:
        raise Malformed(
            f"manifolds of {neighbours} neighbours take more pictures", code="too_few_pictures"
        )
    of_real, of_made = _reach(real, neighbours), _reach(made, neighbours)
    between = _distances(real, made)  # (N, M)
    among_real = between <= of_real[:, None]
    return Manifolds(
        precision=float(among_real.any(axis=0).mean()),
        recall=float((between <= of_made).any(axis=1).mean()),
        density=float(among_real.sum(axis=0).mean() / neighbours),
        coverage=float((between.min(axis=1) <= of_real).mean()),
    )


def _reach(points: Floats, neighbours: int) -> Floats:
    """(N,): how far the k-th neighbour is, beside itself."""
    reach: Floats = np.partition(_distances(points, points), neighbours, axis=1)[:, neighbours]
    return reach


def _distances(x: Floats, y: Floats) -> Floats:
    """Squared, (N, M)."""
    lengths = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1)
    return np.asarray(np.maximum(lengths - 2 * x @ y.T, 0))


def frechet_distance(real: Floats, made: Floats) -> float:
    """|m - n|^2 + tr(S + T - 2 (S T)^(1/2)), of the means and covariances of (N, D) and (M, D)."""
    means = real.mean(axis=0) - made.mean(axis=0)
    one, other = (np.cov(x.astype(np.float64), rowvar=False) for x in (real, made))
    # The eigenvalues of a product of covariances are those of a covariance: real, not negative.
    roots = np.sqrt(np.maximum(np.linalg.eigvals(one @ other).real, 0)).sum()
    return float(means @ means + np.trace(one) + np.trace(other) - 2 * roots)
