"""A served network's file <-> a network to go on training with.

Serving's file is smaller than what was trained: the exporter folds every batch norm into the layer
before it, and leaves out the head. `unfold` makes the norms anew, and the trainer the head; `fold`
puts what was learnt since into the file's place, in a hundredth of the time of another export.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx
import torch
from onnx import numpy_helper
from torch import nn

from shared.errors import Conflict

if TYPE_CHECKING:
    from pathlib import Path

    from jaxtyping import Float
    from torch import Tensor

LAYERS = (nn.Conv2d, nn.Linear)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)

Norm = nn.BatchNorm1d | nn.BatchNorm2d

OURS = "network."
"""With which the file's names of weights begin: what was exported is UnitVectors."""


def unfold(network: nn.Module, head: str, file: Path, crops: Float[Tensor, "B 3 H W"]) -> None:
    """Gives a network the weights of a file, so that it computes what the file does.

    head: name of the layer that the file lacks. crops: normalised, at the size that the network is
    used to; the norms take on their statistics. Raises Conflict (`not_trainable`) where the file is
    of another network.
    """
    weights = {
        one.name: torch.from_numpy(numpy_helper.to_array(one).copy())
        for one in onnx.load(file).graph.initializer
    }
    for name, layer in _layers(network, head).items():
        for part, wanted in layer.named_parameters(recurse=False):
            found = weights.get(f"{OURS}{name}.{part}")
            if found is None or found.shape != wanted.shape:
                raise Conflict(
                    f"{file.name} has no {name}.{part} to go on from: it is of another network;"
                    " start from scratch",
                    code="not_trainable",
                )
            with torch.no_grad():
                wanted.copy_(found)
    with _Tracing(network.eval(), head) as tracing, torch.inference_mode():
        tracing.shifts = weights
        network(crops)


def fold(network: nn.Module, head: str, template: Path, target: Path) -> None:
    """The template's file with the network's weights instead of its own. Not yet verified."""
    network = network.cpu().eval()
    with _Tracing(network, head) as tracing, torch.inference_mode():
        network(torch.zeros(1, 3, 144, 56))
    weights = {
        f"{OURS}{name}.{part}": value.detach()
        for name, layer in _layers(network, head).items()
        for part, value in layer.named_parameters(recurse=False)
    }
    for name, norm in tracing.norms.items():
        gain = norm.weight.detach() / torch.sqrt(_known(norm.running_var) + norm.eps)
        weight = weights[f"{OURS}{name}.weight"]
        weights[f"{OURS}{name}.weight"] = weight * gain.reshape(-1, *[1] * (weight.ndim - 1))
        shift = norm.bias.detach() - _known(norm.running_mean) * gain
        weights[f"{OURS}{name}.weight_bias"] = shift
    model = onnx.load(template)
    for one in model.graph.initializer:
        if one.name in weights:
            array = weights[one.name].numpy().reshape(tuple(one.dims))
            one.CopyFrom(numpy_helper.from_array(array, one.name))
    onnx.save(model, target)


def _layers(network: nn.Module, head: str) -> dict[str, nn.Module]:
    """By name, all that have weights of their own but the norms and the head."""
    return {
        name: layer
        for name, layer in network.named_modules()
        if isinstance(layer, LAYERS) and name != head
    }


@dataclass
class _Made:
    """That a tensor is what a layer made. Held, else another might get its id."""

    tensor: Tensor
    layer: str


class _Tracing:
    """While it lasts, a network that runs tells which norm stands behind which layer.

    norms: by the name of the layer. shifts: a file's weights, where the norms are to undo
    themselves: they take on the mean and variance of what comes in, and add what the file adds.
    """

    def __init__(self, network: nn.Module, head: str) -> None:
        self.norms: dict[str, Norm] = {}
        self.shifts: dict[str, Tensor] = {}
        self._made: dict[int, _Made] = {}
        layers = _layers(network, head)
        self._hooks = [
            layer.register_forward_hook(
                lambda _, __, output, name=name: self._remember(name, output)
            )
            for name, layer in layers.items()
        ]
        self._hooks += [
            layer.register_forward_pre_hook(self._meet)
            for layer in network.modules()
            if isinstance(layer, NORMS)
        ]

    def __enter__(self) -> _Tracing:
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _remember(self, name: str, output: Tensor) -> None:
        self._made[id(output)] = _Made(output, name)

    def _meet(self, norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, NORMS)  # noqa: S101 - hooked to these alone; mypy is not told
        layer = self._made[id(inputs[0])].layer
        self.norms[layer] = norm
        if self.shifts:
            _undo(norm, inputs[0], self.shifts[f"{OURS}{layer}.weight_bias"])


def _undo(norm: Norm, comes_in: Tensor, shift: Tensor) -> None:
    """The function stays, and training, which normalises by each batch, begins near it."""
    axes = tuple(axis for axis in range(comes_in.ndim) if axis != 1)
    variance, mean = torch.var_mean(comes_in, dim=axes, correction=0)
    norm.load_state_dict(
        {
            "running_mean": mean,
            "running_var": variance,
            "weight": torch.sqrt(variance + norm.eps),
            "bias": mean + shift,
            "num_batches_tracked": torch.tensor(0),
        }
    )


def _known(statistics: Tensor | None) -> Tensor:
    if statistics is None:
        raise ValueError("a norm without running statistics cannot be folded")
    return statistics
