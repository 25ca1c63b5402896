"""A served STAE's ONNX file -> the torch network with the same weights, as an oracle."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import nn

from services.anomaly.models.stae import Stae, StaeReconstruction


def torch_twin(file: Path) -> StaeReconstruction:
    """The exporter has folded each batch normalisation into the convolution before it, and kept
    the names of the weights."""
    weights = {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in onnx.load(file).graph.initializer
    }
    channels = weights["encoder.0.weight"].shape[1]
    network = StaeReconstruction(Stae(frame_channels=channels)).eval()
    for layers in (network.encoder, network.reconstruct):
        for position, layer in enumerate(layers):
            if isinstance(layer, nn.BatchNorm3d):
                layers[position] = nn.Identity()
    network.load_state_dict(weights)
    return network
