from __future__ import annotations

import pytest
import torch

from services.reid.models.msp_cnn import MspCnn, UnitVectors


@pytest.fixture(scope="module")
def network() -> MspCnn:
    torch.manual_seed(0)
    return MspCnn(identities=10).eval()


def test_it_has_the_papers_number_of_parameters_without_fc8(network):
    parameters = sum(
        p.numel() for name, p in network.named_parameters() if not name.startswith("fc8.")
    )
    assert round(parameters / 1e6, 2) == 1.79


def test_every_block_has_the_channels_and_size_of_the_papers_table(network):
    shapes = {}
    names = (
        "conv1",
        "conv2",
        "conv3",
        "pool1",
        *(f"inception_{n}{k}" for n in "123" for k in "ab"),
    )
    hooks = [
        getattr(network, name).register_forward_hook(
            lambda _module, _inputs, output, name=name: shapes.__setitem__(
                name, (*output.shape[1:],)
            )
        )
        for name in names
    ]
    with torch.no_grad():
        feature = network(torch.zeros(1, 3, 144, 56))
    for hook in hooks:
        hook.remove()
    assert shapes == {
        "conv1": (16, 144, 56),
        "conv2": (16, 144, 56),
        "conv3": (16, 144, 56),
        "pool1": (16, 72, 28),
        "inception_1a": (128, 72, 28),
        "inception_1b": (192, 36, 14),
        "inception_2a": (256, 36, 14),
        "inception_2b": (384, 18, 7),
        "inception_3a": (512, 18, 7),
        "inception_3b": (768, 9, 4),
    }
    assert feature.shape == (1, 256)


def test_what_is_exported_has_unit_length_and_the_features_direction(network):
    crops = torch.randn(3, 3, 144, 56)
    with torch.no_grad():
        vectors, features = UnitVectors(network)(crops), network(crops)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(3), atol=1e-6)
    assert torch.allclose(vectors * features.norm(dim=1, keepdim=True), features, atol=1e-5)


def test_a_crops_feature_does_not_depend_on_its_batch(network):
    crops = torch.randn(4, 3, 144, 56)
    with torch.no_grad():
        together, alone = network(crops)[2], network(crops[2:3])[0]
    assert torch.allclose(together, alone, atol=1e-5)


def test_the_network_learns_from_a_smaller_picture_too():
    network = MspCnn(identities=4)
    assert network.classify(network(torch.randn(2, 3, 72, 28))).shape == (2, 4)
