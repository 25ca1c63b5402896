"""Content of one image and style of another -> an image: SAAE (Shen, Zhao, et al.,
"Stylized Adversarial AutoEncoder for Image Generation", ACM MM 2017).

    z_c = Enc_c(c), z_s = Enc_s(s), G(c, s) = Dec([z_c; z_s])

The encoder of content keeps its map; that of style ends in a vector, which a linear layer spreads
to a map of the same size, so that the decoder is given half of each. What the paper leaves open is
a setting: channels, weights of losses, how long each of its three steps takes. Training pairs are
an image x, which is its own style, with the content of its class; x is what the decoder should
give.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from jaxtyping import Float  # noqa: TC002 - read where shapes are checked
from torch import Tensor, nn

from services.synthetic.losses.adversarial import NON_SATURATING
from services.synthetic.losses.classes import (
    discriminate_classes,
    outliers,
    pass_for_class,
    smoothed,
)
from services.synthetic.models.system import (
    Adam,
    Batch,
    Count,
    Losses,
    Moment,
    Phase,
    Rate,
    Share,
    Steps,
    System,
    Weight,
)


@dataclass(frozen=True, kw_only=True)
class SaaeSettings:
    """classes: k. discriminator: "classes" is the paper's, of k + 1 classes; "binary" its baseline;
    "outliers" is of k classes, to which what is made is to belong all alike (ours, LSRO's loss).
    smoothing: share of a real label that is spread over all classes; "binary" has no use for it.
    features: of the first convolution, doubled by the others. style: length of its vector.
    adversarial: weight of the adversarial loss beside the mean squared error.
    reconstruction_steps, discriminator_steps: of the first and the second step of training; the
    third, in which both take turns, is the rest."""

    channels: Count = 1
    height: Count = 28
    width: Count = 28
    classes: Count = 10
    discriminator: Literal["classes", "binary", "outliers"] = "classes"
    smoothing: Share = 0.0
    features: Count = 16
    style: Count = 32
    adversarial: Weight = 0.02
    reconstruction_steps: Steps = 600
    discriminator_steps: Steps = 100
    learning_rate: Rate = 2e-4
    leak: Weight = 0.2


def _convolutions(channels: tuple[int, ...], leak: float) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for channels_in, channels_out in pairwise(channels):
        layers += [
            nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.LeakyReLU(leak),
        ]
    return layers


class StylisedDecoder(nn.Module):
    """(contents, styles), images both -> images: both encoders and the decoder."""

    def __init__(self, settings: SaaeSettings) -> None:
        super().__init__()
        narrow, wide, leak = settings.features, 2 * settings.features, settings.leak
        area = (settings.height, settings.width)
        map_size = wide * settings.height * settings.width
        into = (settings.channels, narrow, wide, wide)
        self.content = nn.Sequential(*_convolutions(into, leak))
        self.style = nn.Sequential(
            *_convolutions(into, leak), nn.Flatten(), nn.Linear(map_size, settings.style)
        )
        self.spread = nn.Sequential(
            nn.Linear(settings.style, map_size), nn.LeakyReLU(leak), nn.Unflatten(1, (wide, *area))
        )
        self.decode = nn.Sequential(
            *_convolutions((2 * wide, wide, narrow), leak),
            nn.Conv2d(narrow, settings.channels, 3, padding=1),
            nn.Sigmoid(),
        )

    def forward(
        self, contents: Float[Tensor, "B C H W"], styles: Float[Tensor, "B C H W"]
    ) -> Float[Tensor, "B C H W"]:
        halves = [self.content(contents), self.spread(self.style(styles))]
        images: Tensor = self.decode(torch.cat(halves, dim=1))
        return images


class Discriminator(nn.Sequential):
    """(B, C, H, W) -> (B, outputs), logits: three convolutions, pooled after the first, and two
    linear layers."""

    def __init__(self, settings: SaaeSettings, outputs: int) -> None:
        narrow, wide, leak = settings.features, 2 * settings.features, settings.leak
        pooled = (settings.height // 2) * (settings.width // 2)
        super().__init__(
            *_convolutions((settings.channels, narrow), leak),
            nn.MaxPool2d(2),
            *_convolutions((narrow, wide, wide), leak),
            nn.Flatten(),
            nn.Linear(wide * pooled, 8 * narrow),
            nn.LeakyReLU(leak),
            nn.Linear(8 * narrow, outputs),
        )


class Saae(System):
    NAME: ClassVar[str] = "saae"
    PAPER: ClassVar[str] = (
        "Stylized Adversarial AutoEncoder for Image Generation, ACM Multimedia 2017"
    )
    NEEDS: ClassVar[frozenset[str]] = frozenset({"images", "labels", "contents"})
    settings: SaaeSettings

    def __init__(self, settings: SaaeSettings) -> None:
        super().__init__()
        self.settings = settings
        self.autoencoder = StylisedDecoder(settings)
        self.by_class = settings.discriminator != "binary"
        outputs = {"classes": settings.classes + 1, "outliers": settings.classes, "binary": 1}
        self.discriminator = Discriminator(settings, outputs[settings.discriminator])

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The paper's three steps, one after the other; which they are is our reading."""
        settings = self.settings
        adam = Adam(learning_rate=settings.learning_rate)
        alternating = settings.reconstruction_steps + settings.discriminator_steps
        return (
            Phase(
                name="reconstruct",
                trains=(self.autoencoder,),
                losses=self.reconstruct,
                optimiser=adam,
                ends=settings.reconstruction_steps,
            ),
            Phase(
                name="discriminate",
                trains=(self.discriminator,),
                losses=self.discriminate,
                optimiser=adam,
                begins=settings.reconstruction_steps,
            ),
            Phase(
                name="stylise",
                trains=(self.autoencoder,),
                losses=self.stylise,
                optimiser=adam,
                begins=alternating,
            ),
        )

    @property
    def maker(self) -> nn.Module:
        return self.autoencoder

    def example(self, count: int, random: torch.Generator) -> dict[str, Tensor]:
        shape = (count, self.settings.channels, self.settings.height, self.settings.width)
        return {
            name: torch.rand(shape, generator=random, device=random.device)
            for name in ("contents", "styles")
        }

    def reconstruct(self, batch: Batch, moment: Moment) -> Losses:
        made = self.autoencoder(batch["contents"], batch["images"])
        return {"reconstruction": (made - batch["images"]).square().mean()}

    def discriminate(self, batch: Batch, moment: Moment) -> Losses:
        with torch.no_grad():
            made = self.autoencoder(batch["contents"], self._foreign(batch["images"]))
        real = self.discriminator(batch["images"])
        found = self.discriminator(made)
        labels, smoothing = batch["labels"], self.settings.smoothing
        match self.settings.discriminator:
            case "classes":
                loss = discriminate_classes(real, labels, found, smoothing)
            case "outliers":
                loss = smoothed(real, labels, smoothing) + outliers(found)
            case _:
                loss = NON_SATURATING.discriminator(real, found)
        return {"discriminator": loss}

    def stylise(self, batch: Batch, moment: Moment) -> Losses:
        """Made in another's style it must pass; made in its own it must come back."""
        found = self.discriminator(
            self.autoencoder(batch["contents"], self._foreign(batch["images"]))
        )
        passed = (
            pass_for_class(found, batch["labels"])
            if self.by_class
            else NON_SATURATING.generator(found)
        )
        return {
            **self.reconstruct(batch, moment),
            "adversarial": self.settings.adversarial * passed,
        }

    def _foreign(self, images: Tensor) -> Tensor:
        """Each content gets the style of the batch's next image, of whatever class."""
        return images.roll(1, dims=0)
