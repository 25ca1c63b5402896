"""Weights whose rows stand at right angles: by their start, or by a term of the loss.

A weight of any shape is read as the matrix W of its first dimension by all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

BIGGAN_BETA = 1e-4


def start_orthogonal(network: nn.Module) -> None:
    """Saxe, McClelland, Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep
    linear neural networks" (ICLR 2014). Biases start at 0."""
    for layer in _layers(network):
        nn.init.orthogonal_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def orthonormal_rows(weight: Tensor, beta: float = BIGGAN_BETA) -> Tensor:
    """beta * |W W^T - 1|_F^2, which also draws the rows' lengths to 1.

    Brock et al., "Neural Photo Editing with Introspective Adversarial Networks" (ICLR 2017), eq. 3,
    whose norm is not squared.
    """
    gram = _gram(weight)
    return beta * (gram - torch.eye(len(gram), device=gram.device)).square().sum()


def orthogonal_rows(weight: Tensor, beta: float = BIGGAN_BETA) -> Tensor:
    """beta * |W W^T o (J - 1)|_F^2, J all ones: the rows' lengths are free.

    Brock, Donahue, Simonyan, "Large Scale GAN Training for High Fidelity Natural Image Synthesis"
    (BigGAN, ICLR 2019), eq. 4.
    """
    gram = _gram(weight)
    return beta * (gram - gram.diagonal().diag()).square().sum()


REGULARISERS = {"orthonormal": orthonormal_rows, "orthogonal": orthogonal_rows}
"""The second is BigGAN's."""


def regularised(network: nn.Module, term: Callable[[Tensor], Tensor]) -> Tensor:
    """The term of all linear and convolutional weights, summed."""
    return torch.stack([term(layer.weight) for layer in _layers(network)]).sum()


def _layers(network: nn.Module) -> Iterator[nn.Linear | nn.modules.conv._ConvNd]:
    for layer in network.modules():
        if isinstance(layer, (nn.Linear, nn.modules.conv._ConvNd)):
            yield layer


def _gram(weight: Tensor) -> Tensor:
    rows = weight.flatten(1)
    return rows @ rows.T
