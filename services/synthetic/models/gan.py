"""Noise -> images: the generative adversarial network, with the loss and the bounds one chooses.

Goodfellow et al., "Generative Adversarial Nets" (NIPS 2014); convolutions after Radford, Metz,
Chintala, "Unsupervised Representation Learning with Deep Convolutional GANs" (ICLR 2016). Widths
and the nearest-neighbour upsampling are ours, made for small pictures and a CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from jaxtyping import Float  # noqa: TC002 - read where shapes are checked
from torch import Tensor, nn

from services.synthetic.losses.adversarial import ADVERSARIAL_LOSSES
from services.synthetic.losses.penalties import PENALTIES, clip_weights
from services.synthetic.models.system import (
    Adam,
    Batch,
    Count,
    Losses,
    Moment,
    Phase,
    Rate,
    RmsProp,
    System,
    Weight,
)
from services.synthetic.regularisers.orthogonal import REGULARISERS, regularised, start_orthogonal
from services.synthetic.regularisers.spectral import normalise_spectrally

LEAK = 0.2


@dataclass(frozen=True, kw_only=True)
class GanSettings:
    """height, width: of the images, each a multiple of 4. loss, penalty: by their names in
    ADVERSARIAL_LOSSES and PENALTIES (no penalty: ""). clip: bound of the critic's weights, 0: none;
    where there is one, both networks learn by RMSprop, as WGAN's do, whose learning rate is 5e-5.
    spectral: whether the critic's are normalised. orthogonal: whether all start so. regulariser: of
    the generator's weights, by its name in REGULARISERS (none: ""). critic_steps: for each of the
    generator."""

    channels: Count = 1
    height: Count = 28
    width: Count = 28
    noise: Count = 64
    features: Count = 32
    loss: Literal["minimax", "non-saturating", "least-squares", "hinge", "wasserstein"] = (
        "non-saturating"
    )
    penalty: Literal["", "gradient-penalty", "r1", "r2", "divergence"] = "r1"
    clip: Weight = 0.0
    spectral: bool = False
    orthogonal: bool = False
    regulariser: Literal["", "orthonormal", "orthogonal"] = ""
    critic_steps: Count = 1
    learning_rate: Rate = 2e-4


class Generator(nn.Sequential):
    """(B, noise) -> (B, C, H, W) in [0, 1]. Batch normalisation is the generator's alone: in the
    critic it would give no sample a gradient of its own."""

    def __init__(self, settings: GanSettings) -> None:
        wide, narrow = 4 * settings.features, 2 * settings.features
        rows, columns = settings.height // 4, settings.width // 4
        super().__init__(
            nn.Linear(settings.noise, wide * rows * columns, bias=False),
            nn.Unflatten(1, (wide, rows, columns)),
            *_grown(wide, narrow),
            *_grown(narrow, settings.features),
            nn.Conv2d(settings.features, settings.channels, 3, padding=1),
            nn.Sigmoid(),
        )


def _grown(channels_in: int, channels_out: int) -> list[nn.Module]:
    """Twice the height and width."""
    return [
        nn.BatchNorm2d(channels_in),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    ]


class Critic(nn.Sequential):
    """(B, C, H, W) -> (B, 1), logits."""

    def __init__(self, settings: GanSettings) -> None:
        features = settings.features
        super().__init__(
            nn.Conv2d(settings.channels, features, 3, padding=1),
            nn.LeakyReLU(LEAK),
            nn.Conv2d(features, 2 * features, 4, stride=2, padding=1),
            nn.LeakyReLU(LEAK),
            nn.Conv2d(2 * features, 4 * features, 4, stride=2, padding=1),
            nn.LeakyReLU(LEAK),
            nn.Flatten(),
            nn.Linear(4 * features * (settings.height // 4) * (settings.width // 4), 1),
        )


class Gan(System):
    NAME: ClassVar[str] = "gan"
    PAPER: ClassVar[str] = (
        "Goodfellow et al., Generative Adversarial Nets, NIPS 2014; Radford, Metz, Chintala,"
        " Unsupervised Representation Learning with Deep Convolutional GANs, ICLR 2016"
    )
    NEEDS: ClassVar[frozenset[str]] = frozenset({"images"})
    settings: GanSettings

    def __init__(self, settings: GanSettings) -> None:
        super().__init__()
        self.settings = settings
        self.generator, self.critic = Generator(settings), Critic(settings)
        if settings.orthogonal:
            start_orthogonal(self)
        if settings.spectral:
            normalise_spectrally(self.critic)
        self._loss = ADVERSARIAL_LOSSES[settings.loss]
        self._penalty = PENALTIES[settings.penalty] if settings.penalty else None
        self._regulariser = REGULARISERS[settings.regulariser] if settings.regulariser else None

    @property
    def phases(self) -> tuple[Phase, ...]:
        settings = self.settings
        kind = RmsProp if settings.clip else Adam
        optimiser = kind(learning_rate=settings.learning_rate)
        return (
            Phase(
                name="critic",
                trains=(self.critic,),
                losses=self.criticise,
                optimiser=optimiser,
                repeat=settings.critic_steps,
                after=partial(clip_weights, self.critic, settings.clip) if settings.clip else None,
            ),
            Phase(
                name="generator",
                trains=(self.generator,),
                losses=self.generate,
                optimiser=optimiser,
            ),
        )

    @property
    def maker(self) -> nn.Module:
        return self.generator

    def example(self, count: int, random: torch.Generator) -> dict[str, Tensor]:
        noise = torch.randn(count, self.settings.noise, generator=random, device=random.device)
        return {"noise": noise}

    def criticise(self, batch: Batch, moment: Moment) -> Losses:
        real = batch["images"]
        with torch.no_grad():
            made = self._made(len(real), moment)
        losses = {"critic": self._loss.discriminator(self.critic(real), self.critic(made))}
        if self._penalty is not None:
            losses["penalty"] = self._penalty(self.critic, real, made, moment.random)
        return losses

    def generate(self, batch: Batch, moment: Moment) -> Losses:
        made = self._made(len(batch["images"]), moment)
        losses = {"generator": self._loss.generator(self.critic(made))}
        if self._regulariser is not None:
            losses["regulariser"] = regularised(self.generator, self._regulariser)
        return losses

    def _made(self, count: int, moment: Moment) -> Float[Tensor, "B C H W"]:
        images: Tensor = self.generator(*self.example(count, moment.random).values())
        return images
