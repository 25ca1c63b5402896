from __future__ import annotations

import torch
from torch import nn

from services.anomaly.models.stae import NarrowConvolution, Stae, StaeReconstruction


def parameters(network):
    return sum(weight.numel() for weight in network.parameters())


def shapes_of(network, kinds, clip):
    """Output shapes, without batch, of every layer of those kinds, in order."""
    seen = []
    for layer in network.modules():
        if isinstance(layer, kinds):
            layer.register_forward_hook(lambda _, __, out: seen.append(tuple(out.shape[1:])))
    network(clip)
    return seen


@torch.no_grad()
def test_the_layers_have_the_papers_channels_and_sizes():
    network = Stae().eval()
    clip = torch.rand(1, 1, 16, 128, 128)
    down = [(32, 8, 64, 64), (48, 4, 32, 32), (64, 2, 16, 16)]
    assert shapes_of(network, nn.MaxPool3d, clip) == down

    network = Stae().eval()
    up = [(48, 4, 32, 32), (32, 8, 64, 64), (32, 16, 128, 128)]
    assert shapes_of(network, nn.ConvTranspose3d, clip) == up * 2
    assert network.encoder(clip).shape == (1, 64, 2, 16, 16)


def test_the_network_has_the_number_of_parameters_that_its_plan_gives():
    assert parameters(Stae()) == 543_026
    assert parameters(StaeReconstruction(Stae())) == 389_761


@torch.no_grad()
def test_the_network_gives_back_the_clips_shape_as_pixels():
    clip = torch.rand(2, 1, 8, 16, 24)
    output = Stae().eval()(clip)
    for frames in output:
        assert frames.shape == clip.shape
        assert 0.0 <= frames.min() <= frames.max() <= 1.0


@torch.no_grad()
def test_optical_flow_goes_through_the_same_network():
    clip = torch.rand(1, 2, 8, 16, 16)
    assert Stae(frame_channels=2).eval()(clip).reconstruction.shape == clip.shape


@torch.no_grad()
def test_the_serving_view_reconstructs_as_the_whole_network_does():
    network = Stae().eval()
    clip = torch.rand(2, 1, 8, 16, 16)
    assert torch.equal(StaeReconstruction(network)(clip), network(clip).reconstruction)


def test_the_two_decoders_share_a_shape_but_no_weight():
    network = Stae()
    past, future = network.reconstruct.state_dict(), network.predict.state_dict()
    assert {name: weight.shape for name, weight in past.items()} == {
        name: weight.shape for name, weight in future.items()
    }
    assert not torch.equal(past["0.weight"], future["0.weight"])


def test_every_weight_learns_from_the_two_outputs():
    network = Stae()
    output = network(torch.rand(2, 1, 8, 16, 16))
    (output.reconstruction.mean() + output.prediction.mean()).backward()
    assert all(weight.grad is not None for weight in network.parameters())


def test_a_narrow_convolution_learns_what_a_convolution_learns():
    narrow = NarrowConvolution(4, 1)
    plain = nn.Conv3d(4, 1, kernel_size=3, padding=1)
    plain.load_state_dict(narrow.state_dict())
    features = torch.rand(2, 4, 8, 6, 10, requires_grad=True)
    learnt = []
    for layer in (narrow.train(), plain):
        outputs = layer(features)
        weights = (features, layer.weight, layer.bias)
        learnt.append([outputs, *torch.autograd.grad(outputs.square().sum(), weights)])
    for found, expected in zip(*learnt, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
