"""Logits of a discriminator -> what they cost it, and what they cost the generator.

Logits are D(x) before any sigmoid, of any shape; costs are means over them. S is the softplus,
S(t) = log(1 + e^t), so that -log sigmoid(D) = S(-D) without ever taking the logarithm of 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch.nn.functional import relu, softplus

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


@dataclass(frozen=True)
class AdversarialLoss:
    """discriminator: (D(real), D(made)) -> its loss. generator: D(made) -> its loss."""

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]


def _cross_entropy(real: Tensor, made: Tensor) -> Tensor:
    """-E log sigmoid(D(real)) - E log(1 - sigmoid(D(made)))"""
    return softplus(-real).mean() + softplus(made).mean()


MINIMAX = AdversarialLoss(_cross_entropy, lambda made: -softplus(made).mean())
"""Goodfellow et al., "Generative Adversarial Nets" (NIPS 2014), eq. 1: the generator minimises
E log(1 - sigmoid(D(made))), whose gradient vanishes where the discriminator is sure."""

NON_SATURATING = AdversarialLoss(_cross_entropy, lambda made: softplus(-made).mean())
"""The same paper's remedy: the generator minimises -E log sigmoid(D(made))."""

LEAST_SQUARES = AdversarialLoss(
    lambda real, made: (real - 1).square().mean() + made.square().mean(),
    lambda made: (made - 1).square().mean(),
)
"""Mao et al., "Least Squares Generative Adversarial Networks" (ICCV 2017), with a = 0, b = c = 1;
without its factor of a half, as CycleGAN and its kin have it."""

HINGE = AdversarialLoss(
    lambda real, made: relu(1 - real).mean() + relu(1 + made).mean(), lambda made: -made.mean()
)
"""Lim and Ye, "Geometric GAN" (2017); Miyato et al., "Spectral Normalization for GANs" (ICLR
2018), eq. 16 and 17."""

WASSERSTEIN = AdversarialLoss(
    lambda real, made: made.mean() - real.mean(), lambda made: -made.mean()
)
"""Arjovsky, Chintala, Bottou, "Wasserstein GAN" (ICML 2017). It needs a bounded slope: by clipping
(`after_step`), or by a penalty."""

ADVERSARIAL_LOSSES = {
    "minimax": MINIMAX,
    "non-saturating": NON_SATURATING,
    "least-squares": LEAST_SQUARES,
    "hinge": HINGE,
    "wasserstein": WASSERSTEIN,
}
