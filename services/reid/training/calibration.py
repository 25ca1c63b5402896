"""Vectors of people not trained on -> what a cosine similarity means: the card's identity prior."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from services.reid.core.identity import SAME_PERSON_SHARE
from shared.model_store import IdentityPrior

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shared.inference import Array

NEWTON_STEPS = 50
RIDGE = 1e-6


def cross_camera_pairs(
    vectors: Array, people: NDArray[np.int64], cameras: NDArray[np.int64], groups: NDArray[np.int64]
) -> tuple[Array, NDArray[np.bool_]]:
    """(cosine, whether one person) of all pairs from two cameras of one group of cameras."""
    left, right = np.triu_indices(len(people), k=1)
    counts = (cameras[left] != cameras[right]) & (groups[left] == groups[right])
    left, right = left[counts], right[counts]
    similarity: Array = np.einsum("nd,nd->n", vectors[left], vectors[right])
    return similarity, people[left] == people[right]


def fit_identity_prior(similarity: Array, same: NDArray[np.bool_]) -> IdentityPrior:
    """Logistic regression of `same` on the similarity, with the pairs weighted so that
    SAME_PERSON_SHARE of them are of one person.

    Raises ValueError where either kind of pair is missing.
    """
    if same.all() or not same.any():
        raise ValueError("an identity prior needs pairs of one person and pairs of two")
    weights = np.where(
        same, SAME_PERSON_SHARE / same.sum(), (1 - SAME_PERSON_SHARE) / (~same).sum()
    )
    slope, offset = _logistic_regression(similarity.astype(np.float64), same, weights)
    return IdentityPrior(
        slope=slope,
        offset=offset,
        same_person_q05=float(np.quantile(similarity[same], 0.05)),
        different_person_q99=float(np.quantile(similarity[~same], 0.99)),
    )


def _logistic_regression(
    x: NDArray[np.float64], y: NDArray[np.bool_], weights: NDArray[np.float64]
) -> tuple[float, float]:
    """Newton's method; the ridge keeps separable pairs from an infinite slope."""
    design = np.stack([x, np.ones_like(x)], axis=1)
    coefficients = np.zeros(2)
    for _ in range(NEWTON_STEPS):
        belief = 1.0 / (1.0 + np.exp(-(design @ coefficients)))
        gradient = design.T @ (weights * (y - belief)) - RIDGE * coefficients
        curvature = (design * (weights * belief * (1 - belief))[:, None]).T @ design
        step = np.linalg.solve(curvature + RIDGE * np.eye(2), gradient)
        coefficients = coefficients + np.clip(step, -5.0, 5.0)
        if np.abs(step).max() < 1e-9:
            break
    return float(coefficients[0]), float(coefficients[1])
