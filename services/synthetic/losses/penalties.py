"""Terms that keep a discriminator's slope in bounds, added to its loss.

The gradient is taken by the input of each sample alone, and its norm over all of the sample's
elements: the power is of the norm, never of single elements. A discriminator that mixes its
samples (by batch normalisation) has no such gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Discriminator = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class GradientPenalty:
    """weight * E (|grad D(x)| - 1)^2, x evenly between a real sample and a made one.

    Gulrajani et al., "Improved Training of Wasserstein GANs" (NIPS 2017), eq. 3.
    """

    weight: float = 10.0

    def __call__(
        self, critic: Discriminator, real: Tensor, made: Tensor, random: torch.Generator
    ) -> Tensor:
        slopes = slopes_at(critic, between(real, made, random))
        return self.weight * (slopes - 1).square().mean()


@dataclass(frozen=True)
class R1:
    """gamma / 2 * E |grad D(real)|^2.

    Mescheder, Geiger, Nowozin, "Which Training Methods for GANs do actually Converge?" (ICML
    2018), eq. 9.
    """

    gamma: float = 10.0

    def __call__(
        self, critic: Discriminator, real: Tensor, made: Tensor, random: torch.Generator
    ) -> Tensor:
        return self.gamma / 2 * slopes_at(critic, real).square().mean()


@dataclass(frozen=True)
class R2:
    """gamma / 2 * E |grad D(made)|^2, eq. 10 of the same paper."""

    gamma: float = 10.0

    def __call__(
        self, critic: Discriminator, real: Tensor, made: Tensor, random: torch.Generator
    ) -> Tensor:
        return self.gamma / 2 * slopes_at(critic, made).square().mean()


@dataclass(frozen=True)
class WassersteinDivergence:
    """k * E |grad D(x)|^p, x evenly between a real sample and a made one.

    Wu, Huang, Thoma, Acharya, Van Gool, "Wasserstein Divergence for GANs" (ECCV 2018), eq. 6.
    """

    k: float = 2.0
    p: float = 6.0

    def __call__(
        self, critic: Discriminator, real: Tensor, made: Tensor, random: torch.Generator
    ) -> Tensor:
        return self.k * slopes_at(critic, between(real, made, random)).pow(self.p).mean()


Penalty = GradientPenalty | R1 | R2 | WassersteinDivergence

PENALTIES: dict[str, Penalty] = {
    "gradient-penalty": GradientPenalty(),
    "r1": R1(),
    "r2": R2(),
    "divergence": WassersteinDivergence(),
}


def slopes_at(critic: Discriminator, samples: Tensor) -> Tensor:
    """(B, ...) -> (B,): the norm of the gradient by each sample, itself differentiable."""
    samples = samples.detach().requires_grad_()
    (gradients,) = torch.autograd.grad(critic(samples).sum(), samples, create_graph=True)
    norms: Tensor = torch.linalg.vector_norm(gradients.flatten(1), dim=1)
    return norms


def between(real: Tensor, made: Tensor, random: torch.Generator) -> Tensor:
    """(B, ...) each -> (B, ...): an even draw from the line between each pair."""
    shape = (len(real),) + (1,) * (real.dim() - 1)
    share = torch.rand(shape, generator=random, device=random.device).to(real)
    # Autocast may have made them coarser than the real ones.
    return torch.lerp(made.to(real), real, share)


@torch.no_grad()
def clip_weights(network: torch.nn.Module, bound: float = 0.01) -> None:
    """Arjovsky et al., "Wasserstein GAN", algorithm 1, line 7: after every step of the critic."""
    for weight in network.parameters():
        weight.clamp_(-bound, bound)
