"""A served STAE's file -> a network to go on training with.

Serving's file is smaller than what was trained: the exporter folds every batch norm into the
convolution before it, and leaves the predicting decoder behind. Both are made anew here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import torch
from onnx import numpy_helper
from torch import nn

from services.anomaly.models.stae import Stae
from shared.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from jaxtyping import Float
    from torch import Tensor


def warm_network(file: Path, clips: Float[Tensor, "B C T H W"], *, leaky_slope: float) -> Stae:
    """The network that reconstructs as the file does, its predicting decoder begun as a copy of the
    reconstructing one: what comes next is mostly what is there.

    clips: normal ones, whose statistics its batch norms take on. Raises Conflict (`not_trainable`)
    where the file holds no STAE of our own.
    """
    weights = _weights_of(file)
    network = Stae(frame_channels=clips.shape[1], leaky_slope=leaky_slope)
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv3d | nn.ConvTranspose3d):
            _load(layer, name.replace("predict.", "reconstruct."), weights, file)
    _unfold(network, clips)
    return network


def _weights_of(file: Path) -> dict[str, Tensor]:
    return {
        one.name: torch.from_numpy(numpy_helper.to_array(one).copy())
        for one in onnx.load(file).graph.initializer
    }


def _load(layer: nn.Module, name: str, weights: Mapping[str, Tensor], file: Path) -> None:
    found = {part: weights.get(f"{name}.{part}") for part in ("weight", "bias")}
    for part, value in found.items():
        wanted = getattr(layer, part)
        if value is None or value.shape != wanted.shape:
            raise Conflict(f"{file} has no {name}.{part} to go on from", code="not_trainable")
    layer.load_state_dict(found)


def _unfold(network: Stae, clips: Float[Tensor, "B C T H W"]) -> None:
    """Gives each batch norm the mean and variance of what comes in, and as scale and shift their
    undoing: the function stays, and training, which normalises by each batch, begins near it."""

    def take_on(norm: nn.BatchNorm3d, inputs: tuple[Tensor, ...]) -> None:
        variance, mean = torch.var_mean(inputs[0], dim=(0, 2, 3, 4), correction=0)
        norm.load_state_dict(
            {
                "running_mean": mean,
                "running_var": variance,
                "weight": torch.sqrt(variance + norm.eps),
                "bias": mean,
                "num_batches_tracked": torch.tensor(0),
            }
        )

    norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm3d)]
    hooks = [norm.register_forward_pre_hook(take_on) for norm in norms]
    with torch.inference_mode():
        network.eval()(clips)
    for hook in hooks:
        hook.remove()
