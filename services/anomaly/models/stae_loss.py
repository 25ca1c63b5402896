"""Past and future frames, reconstructed and predicted -> one number to minimise: the STAE loss.

Zhao et al., ACM MM 2017:  L = L_rec + lambda L_pred, with the weight-decreasing prediction loss

    L_pred = (1/N) sum_i (1/T^2) sum_t (T - t) || X_i^(T+t) - f_pred(X_i)^t ||^2

Both terms are means over elements, not sums, so that lambda does not depend on the size of a
frame or of a batch (ours; the paper writes norms).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import torch
from jaxtyping import Float  # noqa: TC002 - read where shapes are checked
from torch import Tensor

from services.anomaly.models.stae import StaeOutput  # noqa: TC001 - read where shapes are checked


class PredictionWeights(StrEnum):
    """How much each predicted frame counts. Implementations disagree on where t starts."""

    DECREASING = "decreasing"
    """(T - t) / T^2 with t = 1..T: the last predicted frame counts nothing."""
    DECREASING_FROM_ZERO = "decreasing-from-zero"
    """(T - t) / T^2 with t = 0..T-1: the last predicted frame counts 1 / T^2 (PyAnomaly)."""
    CONSTANT = "constant"
    """(T - 1) / (2 T^2) each, which sums to what `decreasing` sums to: the ablation then tells of
    the shape alone (the constant is ours)."""
    NONE = "none"
    """No prediction loss."""

    def of(self, frames: int) -> Float[Tensor, " T"]:
        """The weight of each of T predicted frames."""
        match self:
            case PredictionWeights.DECREASING:
                return torch.arange(frames - 1, -1, -1) / frames**2
            case PredictionWeights.DECREASING_FROM_ZERO:
                return torch.arange(frames, 0, -1) / frames**2
            case PredictionWeights.CONSTANT:
                return torch.full((frames,), (frames - 1) / (2 * frames**2))
            case PredictionWeights.NONE:
                return torch.zeros(frames)


class LossParts(NamedTuple):
    """total = reconstruction + lambda * prediction."""

    total: Float[Tensor, ""]
    reconstruction: Float[Tensor, ""]
    prediction: Float[Tensor, ""]


@dataclass(frozen=True)
class StaeLoss:
    """prediction_lambda: balances the two terms; the paper leaves it open (1: PyAnomaly)."""

    prediction_weights: PredictionWeights = PredictionWeights.DECREASING
    prediction_lambda: float = 1.0

    def __call__(
        self,
        output: StaeOutput,
        past: Float[Tensor, "B C T H W"],
        future: Float[Tensor, "B C T H W"],
    ) -> LossParts:
        reconstruction = reconstruction_loss(output.reconstruction, past)
        prediction = prediction_loss(output.prediction, future, self.prediction_weights)
        total = reconstruction + self.prediction_lambda * prediction
        return LossParts(total, reconstruction, prediction)


def reconstruction_loss(
    reconstruction: Float[Tensor, "B C T H W"], past: Float[Tensor, "B C T H W"]
) -> Float[Tensor, ""]:
    """Mean squared error."""
    # In fp32 whatever the network ran in: errors of 1e-4 are lost in bf16's eight bits.
    return (reconstruction.float() - past).square().mean()


def prediction_loss(
    prediction: Float[Tensor, "B C T H W"],
    future: Float[Tensor, "B C T H W"],
    weights: PredictionWeights,
) -> Float[Tensor, ""]:
    """Sum over time of the weighted mean squared error of each frame."""
    by_frame = (prediction.float() - future).square().mean(dim=(0, 1, 3, 4))  # T
    return (weights.of(len(by_frame)).to(by_frame) * by_frame).sum()
