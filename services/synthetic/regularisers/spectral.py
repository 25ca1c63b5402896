"""Weights divided by their largest singular value, found by power iteration.

Miyato, Kataoka, Koyama, Yoshida, "Spectral Normalization for Generative Adversarial Networks" (ICLR
2018), algorithm 1. A convolution's weight is read as the matrix of its output channels by all else:
its slope is bounded by that, up to the square root of the kernel's area, and is not 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils import parametrize

FIRST_ITERATIONS = 15
"""Before the first use (ours, and torch's): one step from a random start would say little."""


class SpectralNorm(nn.Module):
    """W -> W / sigma(W), as a parametrization. u and v: the singular vectors as far as known.

    In training each forward pass takes one step of the iteration; no gradient goes through it.
    """

    left: Tensor
    right: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        matrix = weight.detach().flatten(1)
        self.register_buffer("left", normalize(torch.randn(matrix.shape[0]), dim=0))
        self.register_buffer("right", normalize(torch.randn(matrix.shape[1]), dim=0))
        for _ in range(FIRST_ITERATIONS):
            self._iterate(matrix)

    def forward(self, weight: Tensor) -> Tensor:
        matrix = weight.flatten(1)
        if self.training:
            self._iterate(matrix.detach())
        # Copies: a later step must not change what this pass's gradient needs.
        sigma = self.left.clone() @ matrix @ self.right.clone()
        return weight / sigma

    def right_inverse(self, weight: Tensor) -> Tensor:
        """What a weight that is set is kept as."""
        return weight

    @torch.no_grad()
    def _iterate(self, matrix: Tensor) -> None:
        self.right.copy_(normalize(matrix.T @ self.left, dim=0))
        self.left.copy_(normalize(matrix @ self.right, dim=0))


def normalise_spectrally(network: nn.Module) -> nn.Module:
    """Puts it on every linear and convolutional weight; returns the same network."""
    for layer in list(network.modules()):
        if isinstance(layer, (nn.Linear, nn.modules.conv._ConvNd)):
            parametrize.register_parametrization(layer, "weight", SpectralNorm(layer.weight))
    return network
