"""Weights at right angles, and weights divided by their largest singular value."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from services.synthetic.regularisers.orthogonal import (
    orthogonal_rows,
    orthonormal_rows,
    start_orthogonal,
)
from services.synthetic.regularisers.spectral import SpectralNorm, normalise_spectrally


def cosines(weight):
    rows = nn.functional.normalize(weight.flatten(1), dim=1)
    return (rows @ rows.T - torch.eye(len(rows))).abs().max()


def descended(term) -> nn.Parameter:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(8, 4, 3, 3) * 0.2)
    optimiser = torch.optim.Adam([weight], lr=0.01)
    for _ in range(400):
        optimiser.zero_grad()
        term(weight, 1.0).backward()
        optimiser.step()
    return weight.detach()


def test_one_term_wants_right_angles_and_length_the_other_right_angles_alone():
    whole, angles = descended(orthonormal_rows), descended(orthogonal_rows)
    lengths = [weight.flatten(1).norm(dim=1) for weight in (whole, angles)]
    assert cosines(whole) < 1e-3
    assert cosines(angles) < 1e-3
    assert torch.allclose(lengths[0], torch.ones(8), atol=1e-3)
    assert (lengths[1] - 1).abs().max() > 0.05


def test_the_terms_of_a_small_matrix_are_what_pen_and_paper_say():
    weight = torch.tensor([[1.0, 2.0], [3.0, 0.0]])  # W W^T = [[5, 3], [3, 9]]
    assert float(orthonormal_rows(weight, 1.0)) == 16 + 64 + 2 * 9
    assert float(orthogonal_rows(weight, 0.5)) == 9


def test_an_orthogonal_start_is_orthogonal_in_every_layer():
    network = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ConvTranspose2d(16, 4, 2), nn.Linear(9, 5))
    start_orthogonal(network)
    for layer in network:
        rows = layer.weight.flatten(1)
        gram = rows @ rows.T if rows.shape[0] <= rows.shape[1] else rows.T @ rows
        assert torch.allclose(gram, torch.eye(len(gram)), atol=1e-5)
        assert not layer.bias.any()


@pytest.mark.parametrize("layer", [nn.Linear(144, 32), nn.Conv2d(16, 32, 3)])
def test_a_normalised_weight_has_a_largest_singular_value_of_one(layer):
    torch.manual_seed(0)
    normalise_spectrally(layer)
    for _ in range(100):
        weight = layer.weight
    largest = torch.linalg.matrix_norm(weight.flatten(1), 2).item()
    assert largest == pytest.approx(1.0, abs=0.01)


def test_it_comes_to_what_torchs_own_comes_to():
    torch.manual_seed(0)
    ours, theirs = nn.Linear(20, 10), nn.Linear(20, 10)
    theirs.load_state_dict(ours.state_dict())
    nn.utils.parametrizations.spectral_norm(theirs)
    normalise_spectrally(ours)
    assert isinstance(ours.parametrizations.weight[0], SpectralNorm)
    inputs = torch.randn(3, 20)
    for _ in range(200):  # each begins with random vectors of its own
        ours(inputs), theirs(inputs)
    assert torch.allclose(ours(inputs), theirs(inputs), atol=1e-4)
    ours(inputs).sum().backward()
    theirs(inputs).sum().backward()
    gradients = [one.parametrizations.weight.original.grad for one in (ours, theirs)]
    assert torch.allclose(*gradients, atol=1e-4)


def test_at_rest_it_does_not_iterate():
    layer = normalise_spectrally(nn.Linear(12, 6)).eval()
    before = layer.parametrizations.weight[0].left.clone()
    layer(torch.randn(2, 12))
    assert torch.equal(layer.parametrizations.weight[0].left, before)
