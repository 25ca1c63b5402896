"""Pool1 maps, FC7 features and identities of a batch -> the three losses of MSP-CNN (ACM MM 2017).

L = L_cls + lambda_high * L_high + lambda_low * L_low. The formulas of the paper could not be had:
what is known is that classification concerns the anchor alone, that the high level compares
normalised FC7 features of pairs, and that the low level compares 5x5 patches of Pool1 by
normalised cross-correlation (NCC; Subramaniam et al., "Deep Neural Networks with Inexact Matching
for Person Re-Identification", NIPS 2016), keeping each patch's best match in a band of rows and
zeroing coefficients that say nothing. All else is ours, and is a setting.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import torch
from jaxtyping import Bool, Float, Int  # noqa: TC002 - read where shapes are checked
from torch import Tensor
from torch.nn import functional


class Levels(StrEnum):
    """Which levels of similarity training compares beside the classification: the four rows of the
    paper's Table 5, the last of which is MSP-CNN."""

    NONE = "class"
    HIGH = "class+high"
    LOW = "class+low"
    BOTH = "class+high+low"

    @property
    def high(self) -> bool:
        return self in {Levels.HIGH, Levels.BOTH}

    @property
    def low(self) -> bool:
        return self in {Levels.LOW, Levels.BOTH}


@dataclass(frozen=True, kw_only=True)
class MspLossSettings:
    """The constants that the paper does not state. The defaults are ours.

    levels: the terms that count.
    high_weight, low_weight: lambda_high and lambda_low.
    margin: features of different people, at unit length, are pushed this far apart (0 to 2).
    label_smoothing: of the classification.
    patch: side of a patch (5, as in NIPS 2016).
    band: rows above and below in which a match is sought; all columns are. 4 is NIPS 2016's
    2 rows of 37, in proportion to Pool1's 72.
    joint: one coefficient over all 16 maps of a patch (n = 400); else the mean of each map's own.
    positive_above: a positive pair's patches matter only where they correlate better than this.
    negative_below: a negative pair's patches matter only where they correlate worse than this:
    what nearly everybody shares, black hair for one, must not be torn apart.
    """

    levels: Levels = Levels.BOTH
    high_weight: float = 1.0
    low_weight: float = 0.1
    margin: float = 1.0
    label_smoothing: float = 0.1
    patch: int = 5
    band: int = 4
    joint: bool = True
    positive_above: float = 0.5
    negative_below: float = 0.9


SIGMA_FLOOR = 0.01
"""Added to a patch's standard deviation, as in NIPS 2016's published code."""


def classification_loss(
    logits: Float[Tensor, "B identities"], identities: Int[Tensor, " B"], smoothing: float
) -> Float[Tensor, ""]:
    """Softmax cross-entropy of the anchors."""
    return functional.cross_entropy(logits, identities, label_smoothing=smoothing)


def high_level_loss(
    a: Float[Tensor, "P 256"], b: Float[Tensor, "P 256"], same: Bool[Tensor, " P"], margin: float
) -> Float[Tensor, ""]:
    """Contrastive loss of P pairs: d^2 / 2 for one person, max(0, margin - d)^2 / 2 for two, where
    d is the distance of the features at unit length. The mean over the pairs, 0 where there are
    none."""
    if not len(same):
        return a.new_zeros(())
    squared = 2.0 - 2.0 * functional.cosine_similarity(a, b, dim=1)
    # A square root has no finite slope at zero.
    distance = squared.clamp_min(1e-8).sqrt()
    apart = (margin - distance).clamp_min(0.0).square()
    return 0.5 * torch.where(same, squared, apart).mean()


def low_level_loss(
    a: Float[Tensor, "P C H W"],
    b: Float[Tensor, "P C H W"],
    same: Bool[Tensor, " P"],
    settings: MspLossSettings,
) -> Float[Tensor, ""]:
    """Mean correlation of different people's patches minus that of the same person's, each over
    the patches that its threshold lets through."""
    r = best_match(a, b, settings)
    similar = torch.where(r > settings.positive_above, r, 0.0).mean(dim=(1, 2))
    confusable = torch.where(r < settings.negative_below, r.clamp_min(0.0), 0.0).mean(dim=(1, 2))
    zero = r.new_zeros(())
    pull = similar[same].mean() if same.any() else zero
    push = confusable[~same].mean() if (~same).any() else zero
    return push - pull


def best_match(
    a: Float[Tensor, "P C H W"], b: Float[Tensor, "P C H W"], settings: MspLossSettings
) -> Float[Tensor, "P H W"]:
    """For each patch of `a`, the NCC with the best of `b`'s patches in its band of rows."""
    left, right = (normalised_patches(maps, settings.patch, settings.joint) for maps in (a, b))
    height = a.shape[2]
    best = left.new_full(left.shape[:3], -1.0)
    for offset in range(-settings.band, settings.band + 1):
        if abs(offset) >= height:
            continue
        rows = slice(max(0, -offset), height - max(0, offset))
        others = slice(max(0, offset), height - max(0, -offset))
        ncc = left[:, rows] @ right[:, others].transpose(2, 3)  # (P, H - |offset|, W, W)
        # Out of place: the gradient needs what the maximum was taken of.
        found = torch.maximum(best[:, rows], ncc.amax(dim=3))
        best = torch.cat([best[:, : rows.start], found, best[:, rows.stop :]], dim=1)
    return best


def normalised_patches(
    maps: Float[Tensor, "P C H W"], size: int, joint: bool
) -> Float[Tensor, "P H W D"]:
    """The patch around every position, zero outside the maps, as a vector such that the dot product
    of two of them is their NCC: sum (p - mean p)(q - mean q) / ((n - 1) sigma_p sigma_q)."""
    pairs, channels, height, width = maps.shape
    patches = functional.unfold(maps, size, padding=size // 2)  # (P, C * n, H * W)
    patches = patches.transpose(1, 2).reshape(pairs, height, width, channels, size * size)
    groups = 1 if joint else channels
    if joint:
        patches = patches.reshape(pairs, height, width, 1, channels * size * size)
    n = patches.shape[-1]
    centred = patches - patches.mean(dim=-1, keepdim=True)
    variance = centred.square().sum(dim=-1, keepdim=True) / (n - 1)
    sigma = variance.clamp_min(1e-12).sqrt() + SIGMA_FLOOR
    unit: Tensor = centred / (sigma * (groups * (n - 1)) ** 0.5)
    return unit.reshape(pairs, height, width, unit.shape[-2] * n)
