"""Vectors of people not trained on -> what a cosine similarity means: the card's identity prior."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.linear_model import LogisticRegression

from services.reid.core.identity import SAME_PERSON_SHARE
from shared.model_store import IdentityPrior

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from shared.inference import Array

RIDGE = 1e-6


def cross_camera_pairs(
    vectors: Array, people: NDArray[np.int64], cameras: NDArray[np.int64], groups: NDArray[np.int64]
) -> tuple[Array, NDArray[np.bool_]]:
    """(cosine, whether one person) of all pairs from two cameras of one group of cameras."""
    apart = (cameras[:, None] != cameras) & (groups[:, None] == groups)
    counts = np.triu(apart, k=1)
    similarity: Array = (vectors @ vectors.T)[counts]
    return similarity, (people[:, None] == people)[counts]


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
    """Slope and offset. weights: their sum is 1. The ridge keeps separable pairs from an infinite
    slope."""
    model = LogisticRegression(C=1 / RIDGE, solver="newton-cholesky", tol=1e-9)
    model.fit(x[:, None], y, sample_weight=weights)
    return float(model.coef_[0, 0]), float(model.intercept_[0])
