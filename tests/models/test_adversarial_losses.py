"""Losses of adversarial systems against what pen and paper say of them."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax

from services.synthetic.losses.adversarial import ADVERSARIAL_LOSSES
from services.synthetic.losses.classes import (
    discriminate_classes,
    outliers,
    pass_for_class,
    smoothed,
)
from services.synthetic.losses.penalties import (
    PENALTIES,
    R1,
    R2,
    GradientPenalty,
    WassersteinDivergence,
    between,
    clip_weights,
)

REAL = torch.tensor([2.0, -1.0, 0.5])
MADE = torch.tensor([-3.0, 0.0, 1.5])


def exact(value: float) -> object:
    return pytest.approx(value, rel=1e-5)


def entropy(logits, target: float) -> float:
    return float(binary_cross_entropy_with_logits(logits, torch.full_like(logits, target)))


@pytest.mark.parametrize(
    ("name", "discriminator", "generator"),
    [
        ("minimax", entropy(REAL, 1) + entropy(MADE, 0), -entropy(MADE, 0)),
        ("non-saturating", entropy(REAL, 1) + entropy(MADE, 0), entropy(MADE, 1)),
        (
            "least-squares",
            (1 + 4 + 0.25) / 3 + (9 + 0 + 2.25) / 3,
            (16 + 1 + 0.25) / 3,
        ),
        ("hinge", (0 + 2 + 0.5) / 3 + (0 + 1 + 2.5) / 3, 0.5),
        ("wasserstein", -0.5 - 0.5, 0.5),
    ],
)
def test_a_loss_is_what_its_paper_writes(name, discriminator, generator):
    loss = ADVERSARIAL_LOSSES[name]
    assert float(loss.discriminator(REAL, MADE)) == exact(discriminator)
    assert float(loss.generator(MADE)) == exact(generator)


def test_where_the_discriminator_is_sure_only_minimax_stops_teaching():
    sure = torch.tensor([-40.0], requires_grad=True)
    slopes = {
        name: float(torch.autograd.grad(loss.generator(sure), sure)[0].abs())
        for name, loss in ADVERSARIAL_LOSSES.items()
    }
    assert slopes.pop("minimax") < 1e-12
    assert min(slopes.values()) >= 1.0


WEIGHTS = torch.linspace(-1.0, 2.0, 12)
LENGTH = float(WEIGHTS.norm())


def linear(samples):
    return samples.flatten(1) @ WEIGHTS


@pytest.mark.parametrize(
    ("penalty", "value"),
    [
        (GradientPenalty(weight=10.0), 10 * (LENGTH - 1) ** 2),
        (R1(gamma=10.0), 5 * LENGTH**2),
        (R2(gamma=4.0), 2 * LENGTH**2),
        # The sixth power of the norm, not of single elements, which is a widespread mistake.
        (WassersteinDivergence(k=2.0, p=6.0), 2 * LENGTH**6),
    ],
)
def test_a_linear_discriminator_is_penalised_for_its_slope_alone(penalty, value):
    real, made = torch.randn(5, 3, 4), torch.randn(5, 3, 4)
    random = torch.Generator().manual_seed(0)
    assert penalty(linear, real, made, random).item() == exact(value)


@pytest.mark.parametrize("name", PENALTIES)
def test_a_penalty_teaches_the_discriminator(name):
    network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    random = torch.Generator().manual_seed(0)
    PENALTIES[name](network, torch.randn(6, 4), torch.randn(6, 4), random).backward()
    assert network[0].weight.grad.abs().sum() > 0


def test_r1_looks_at_real_samples_and_r2_at_made_ones():
    def bent(samples):
        return samples.square().sum(dim=1) / 2  # whose gradient is the sample itself

    real, made = torch.full((2, 4), 1.0), torch.full((2, 4), 3.0)
    random = torch.Generator()
    assert R1(2.0)(bent, real, made, random).item() == exact(4.0)
    assert R2(2.0)(bent, real, made, random).item() == exact(36.0)


def test_each_pair_is_mixed_by_one_share_of_its_own():
    real, made = torch.ones(64, 2, 3), torch.zeros(64, 2, 3)
    mixed = between(real, made, torch.Generator().manual_seed(1)).flatten(1)
    assert (mixed == mixed[:, :1]).all()
    shares = mixed[:, 0]
    assert shares.unique().numel() == 64
    assert 0 <= float(shares.min()) < 0.1 < 0.9 < float(shares.max()) <= 1


def test_clipping_bounds_every_weight():
    network = torch.nn.Linear(3, 3)
    torch.nn.init.normal_(network.weight, std=5.0)
    clip_weights(network, 0.01)
    assert max(weight.abs().max().item() for weight in network.parameters()) == exact(0.01)


def test_made_samples_are_of_the_class_after_the_last():
    logits = torch.randn(4, 11, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([3, 0, 9, 9])
    told = log_softmax(logits, dim=1)
    real = -told[range(4), labels].mean()
    made = -told[:, 10].mean()
    assert float(discriminate_classes(logits, labels, logits)) == exact(float(real + made))
    assert float(pass_for_class(logits, labels)) == exact(float(real))


def test_smoothed_labels_are_a_mixture_of_the_label_and_of_none():
    logits = torch.randn(4, 7, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 6, 2, 2])
    told = log_softmax(logits, dim=1)
    hard, even = -told[range(4), labels].mean(), -told.mean()
    assert float(outliers(logits)) == exact(float(even))
    assert float(smoothed(logits, labels, 0.3)) == exact(float(0.7 * hard + 0.3 * even))
    # Nothing is lower than being as unsure as one can be.
    assert float(outliers(torch.zeros(2, 7))) == exact(math.log(7))
