"""Nested binary codes: one code whose every prefix is a code (after Matryoshka representation
learning, Kusupati et al., NeurIPS 2022, with bits for numbers).

Trained to keep similarities, not classes: who is to be found was never seen in training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float

SHARPNESS = 3.0
"""Of the tanh whose gradient a bit takes (ours)."""

NEAR = 6.0
"""How much more a pair of cosine 1 weighs than one of 0, as an exponent (ours)."""


class NestedHashing(nn.Module):
    """projection: (D, bits), its columns the bits, the most telling first."""

    def __init__(self, projection: Float[Tensor, "D bits"]) -> None:
        super().__init__()
        self.projection = nn.Parameter(projection.clone())

    def forward(self, centred: Float[Tensor, "N D"]) -> Float[Tensor, "N bits"]:
        """Vectors without their mean -> codes of -1 and 1, straight through for gradients."""
        values = nn.functional.normalize(centred, dim=1) @ nn.functional.normalize(
            self.projection, dim=0
        )
        soft = torch.tanh(SHARPNESS * values * centred.shape[1] ** 0.5)
        hard = torch.where(values > 0, 1.0, -1.0)
        return soft + (hard - soft).detach()


def nested_loss(
    codes: Float[Tensor, "N bits"],
    cosines: Float[Tensor, "N N"],
    lengths: Sequence[int],
) -> Float[Tensor, ""]:
    """How far each prefix's agreement is from what random hyperplanes would give for the cosines of
    the vectors, 2 / pi * asin(cosine); near pairs weigh most. The mean over the prefixes."""
    others = ~torch.eye(len(codes), dtype=torch.bool)
    wanted = torch.asin(cosines.clamp(-1, 1))[others] * (2 / torch.pi)
    weights = torch.exp(NEAR * cosines[others])
    weights = weights / weights.mean()
    losses = []
    for length in lengths:
        prefix = codes[:, :length]
        agreement = (prefix @ prefix.T / length)[others]
        losses.append((weights * (agreement - wanted).square()).mean())
    return torch.stack(losses).mean()
