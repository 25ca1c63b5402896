from __future__ import annotations

import pytest
import torch

from services.anomaly.models.stae import Stae, StaeOutput
from services.anomaly.models.stae_loss import (
    PredictionWeights,
    StaeLoss,
    prediction_loss,
    reconstruction_loss,
)


def test_the_reconstruction_loss_is_the_mean_squared_error():
    past = torch.tensor([0.0, 0.5, 1.0, 0.25]).reshape(1, 1, 2, 1, 2)
    reconstruction = torch.tensor([0.5, 0.5, 0.0, 0.25]).reshape(1, 1, 2, 1, 2)
    assert reconstruction_loss(reconstruction, past).item() == pytest.approx((0.25 + 1.0) / 4)


def test_decreasing_weights_are_the_papers_and_end_at_nothing():
    weights = PredictionWeights.DECREASING.of(16)
    assert weights.tolist() == pytest.approx([(16 - t) / 256 for t in range(1, 17)])
    assert weights.sum().item() == pytest.approx(0.46875)
    assert weights[-1] == 0.0


def test_weights_that_start_from_zero_never_reach_nothing():
    weights = PredictionWeights.DECREASING_FROM_ZERO.of(16)
    assert weights.tolist() == pytest.approx([(16 - t) / 256 for t in range(16)])
    assert weights.sum().item() == pytest.approx(0.53125)


def test_constant_weights_sum_to_what_decreasing_ones_do():
    constant = PredictionWeights.CONSTANT.of(16)
    assert constant.unique().numel() == 1
    assert constant.sum().item() == pytest.approx(PredictionWeights.DECREASING.of(16).sum().item())


def test_an_early_mistake_costs_more_than_a_late_one():
    future = torch.rand(2, 1, 8, 4, 4)
    early, late = future.clone(), future.clone()
    early[:, :, 0] += 0.5
    late[:, :, 6] += 0.5
    costs = [prediction_loss(p, future, PredictionWeights.DECREASING) for p in (early, late)]
    assert costs[0].item() == pytest.approx(7 / 64 * 0.25, rel=1e-4)
    assert costs[1].item() == pytest.approx(1 / 64 * 0.25, rel=1e-4)


def test_without_prediction_only_the_reconstruction_counts():
    past, future = torch.rand(2, 1, 8, 4, 4), torch.rand(2, 1, 8, 4, 4)
    output = StaeOutput(torch.rand_like(past), torch.rand_like(past))
    losses = StaeLoss(PredictionWeights.NONE)(output, past, future)
    assert losses.total == losses.reconstruction > 0.0


def test_lambda_balances_the_two_terms():
    past, future = torch.rand(2, 1, 8, 4, 4), torch.rand(2, 1, 8, 4, 4)
    output = StaeOutput(torch.rand_like(past), torch.rand_like(past))
    losses = StaeLoss(prediction_lambda=3.0)(output, past, future)
    assert losses.total.item() == pytest.approx(
        losses.reconstruction.item() + 3.0 * losses.prediction.item()
    )


def test_a_few_steps_on_one_clip_lower_both_losses():
    torch.manual_seed(0)
    moving = torch.zeros(2, 1, 16, 16, 16)
    for t in range(16):
        moving[:, :, t, 4:8, t % 12 : t % 12 + 4] = 1.0
    past, future = moving[:, :, :8], moving[:, :, 8:]
    network, loss = Stae(), StaeLoss()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    history = []
    for _ in range(15):
        losses = loss(network(past), past, future)
        optimiser.zero_grad()
        losses.total.backward()
        optimiser.step()
        history.append(losses)
    assert history[-1].reconstruction < 0.5 * history[0].reconstruction
    assert history[-1].prediction < history[0].prediction
