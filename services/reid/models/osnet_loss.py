"""Features and identities of a batch -> the batch-hard triplet loss (Hermans et al., "In Defense of
the Triplet Loss for Person Re-Identification", 2017)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int  # noqa: TC002 - read where shapes are checked
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class OsnetLossSettings:
    """triplet_weight: beside the identity softmax, which weighs 1.
    margin: by which the farthest crop of one's own must be nearer than the nearest of another; 0:
    the paper's soft margin, which never stops pulling.
    label_smoothing: of the identity softmax.
    """

    triplet_weight: float = 1.0
    margin: float = 0.0
    label_smoothing: float = 0.1


def batch_hard_loss(
    feature: Float[Tensor, "B D"],
    people: Int[Tensor, " B"],
    sources: Int[Tensor, " B"],
    margin: float,
) -> Float[Tensor, ""]:
    """Each crop against its farthest own and its nearest other of the same source; the mean over
    the crops that have both, 0 where none has. The distance is Euclidean, of features as they
    are."""
    same = people[:, None] == people[None, :]
    own = same & ~torch.eye(len(people), dtype=torch.bool, device=people.device)
    other = ~same & (sources[:, None] == sources[None, :])
    counted = own.any(dim=1) & other.any(dim=1)
    if not counted.any():
        return feature.new_zeros(())
    squared = (feature[:, None] - feature[None, :]).square().sum(dim=2)
    # A square root has no finite slope at zero.
    distance = squared.clamp_min(1e-8).sqrt()
    farthest = distance.masked_fill(~own, -torch.inf).amax(dim=1)[counted]
    nearest = distance.masked_fill(~other, torch.inf).amin(dim=1)[counted]
    gap = farthest - nearest
    loss: Tensor = functional.softplus(gap) if margin == 0.0 else (gap + margin).clamp_min(0.0)
    return loss.mean()
