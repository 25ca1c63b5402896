from __future__ import annotations

import pytest
import torch
from torch import nn

from services.reid.models.msp_cnn import MspCnn, UnitVectors
from services.reid.models.osnet import FEATURES, SCALES, AggregationGate, OmniScaleBlock, OsNet
from services.reid.models.osnet_loss import batch_hard_loss


@pytest.fixture(scope="module")
def network() -> OsNet:
    torch.manual_seed(0)
    return OsNet(identities=10).eval()


def multiply_adds(network: nn.Module) -> int:
    """Of convolutions and linear layers, for one crop of 144x56."""
    counted = []

    def count(module, _inputs, output):
        positions = output[0, 0].numel() if output.ndim == 4 else 1
        counted.append(positions * module.weight.numel())

    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, 144, 56))
    for hook in hooks:
        hook.remove()
    return sum(counted)


def test_it_costs_a_fraction_of_msp_cnn(network):
    assert round(multiply_adds(MspCnn(identities=2)) / 1e6) == 396
    assert multiply_adds(network) < 0.25 * 396e6


@pytest.mark.parametrize(("height", "width"), [(144, 56), (72, 28)])
def test_it_takes_whole_and_half_size_crops(network, height, width):
    with torch.no_grad():
        assert network(torch.zeros(2, 3, height, width)).shape == (2, FEATURES)
        assert network.spatial(torch.zeros(1, 3, 144, 56)).shape == (1, 320, 9, 4)


def test_a_block_looks_at_four_scales():
    torch.manual_seed(0)
    block = OmniScaleBlock(4, 4, 4).eval()
    reaches = []

    def measure(_module, _inputs, output):
        touched = torch.autograd.grad(output[0, :, 10, 10].sum(), crops, retain_graph=True)[0]
        rows = touched.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
        reaches.append(int(rows.max() - rows.min() + 1))

    crops = torch.rand(1, 4, 21, 21, requires_grad=True)
    hooks = [scale.register_forward_hook(measure) for scale in block.scales]
    block(crops)
    for hook in hooks:
        hook.remove()
    assert reaches == [3, 5, 7, 9]
    assert len(reaches) == SCALES


def test_a_gate_lets_through_between_nothing_and_all_of_a_channel():
    x = torch.rand(3, 8, 5, 4)
    share = AggregationGate(8)(x) / x
    assert ((share > 0) & (share < 1)).all()
    assert torch.allclose(share.amin(dim=(2, 3)), share.amax(dim=(2, 3)), atol=1e-6)


def test_a_crops_feature_does_not_depend_on_its_batch(network):
    crops = torch.randn(4, 3, 144, 56)
    with torch.no_grad():
        assert torch.allclose(network(crops)[2], network(crops[2:3])[0], atol=1e-5)


def test_what_is_worn_above_is_not_averaged_with_what_is_worn_below(network):
    shirt, trousers = torch.randn(2, 3)
    crop = torch.cat([shirt.repeat(72, 1), trousers.repeat(72, 1)])[:, :, None].repeat(1, 1, 56)
    crop = crop.permute(1, 0, 2)[None]
    with torch.no_grad():
        upright, swapped = UnitVectors(network)(crop), UnitVectors(network)(crop.flip(2))
    assert (upright * swapped).sum() < 0.99


def naive_batch_hard(feature, people, sources, margin):
    losses = []
    for a in range(len(people)):
        own = [
            torch.dist(feature[a], feature[p]).item()
            for p in range(len(people))
            if p != a and people[p] == people[a]
        ]
        other = [
            torch.dist(feature[a], feature[n]).item()
            for n in range(len(people))
            if people[n] != people[a] and sources[n] == sources[a]
        ]
        if own and other:
            gap = torch.tensor(max(own) - min(other))
            losses.append(gap.exp().log1p() if margin == 0 else (gap + margin).clamp_min(0))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("margin", [0.0, 0.3])
def test_the_triplet_loss_is_what_naive_loops_find(margin):
    rng = torch.Generator().manual_seed(3)
    feature = torch.randn(14, 6, generator=rng)
    people = torch.tensor([0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 4, 5, 6])
    sources = torch.tensor([0] * 7 + [1] * 7)
    found = batch_hard_loss(feature, people, sources, margin)
    assert found.item() == pytest.approx(
        naive_batch_hard(feature, people, sources, margin).item(), rel=1e-5
    )


def test_a_batch_without_triplets_costs_nothing_and_has_a_finite_slope():
    feature = torch.zeros(3, 4, requires_grad=True)
    alone = batch_hard_loss(feature, torch.tensor([0, 1, 2]), torch.zeros(3), 0.0)
    assert alone == 0
    batch_hard_loss(feature, torch.tensor([0, 0, 1]), torch.zeros(3), 0.0).backward()
    assert torch.isfinite(feature.grad).all()
