"""What translators of pictures are made of: a residual generator and a discriminator of patches.

After Zhu et al. (CycleGAN, ICCV 2017) and Johnson et al. (ECCV 2016), for small pictures: two
halvings where they have two, narrower, and a generator that begins as the identity (ours; it makes
hundreds of steps enough where they take thousands).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float  # noqa: TC002 - read where shapes are checked
from torch import Tensor, nn

from services.synthetic.models.system import (  # noqa: TC001 - read where settings are checked
    Count,
    Rate,
    Weight,
)

LEAK = 0.2
EDGE = 1e-3
"""Pixels are kept so far from 0 and 1, whose logits are infinite."""


@dataclass(frozen=True, kw_only=True)
class TranslationSettings:
    """height, width: multiples of 8. features: of the first convolution; blocks: residual ones in
    the middle. cycle, identity: weights, beside the adversarial loss, of coming back as one was,
    and of staying as one is where that is asked for."""

    channels: Count = 3
    height: Count = 64
    width: Count = 32
    features: Count = 24
    blocks: Count = 3
    cycle: Weight = 10.0
    identity: Weight = 5.0
    learning_rate: Rate = 2e-4

    def example(self, count: int, random: torch.Generator) -> Float[Tensor, "B C H W"]:
        """Pictures of noise."""
        shape = (count, self.channels, self.height, self.width)
        return torch.rand(shape, generator=random, device=random.device)


class Residual(nn.Module):
    """Two convolutions beside their input."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(features, features, 3, padding=1, bias=False),
            nn.InstanceNorm2d(features, affine=True),
            nn.ReLU(),
            nn.Conv2d(features, features, 3, padding=1, bias=False),
            nn.InstanceNorm2d(features, affine=True),
        )

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        out: Tensor = x + self.layers(x)
        return out


class Translator(nn.Module):
    """(B, channels, H, W) in [0, 1], and what it is told beside them -> pictures in [0, 1].

    told: further channels, each even over the picture; 0 where it is told nothing.
    """

    def __init__(self, channels: int, features: int, blocks: int, *, told: int = 0) -> None:
        super().__init__()
        wide = 4 * features
        self.layers = nn.Sequential(
            *_unit(channels + told, features, 7),
            *_unit(features, 2 * features, 4, stride=2),
            *_unit(2 * features, wide, 4, stride=2),
            *(Residual(wide) for _ in range(blocks)),
            nn.Upsample(scale_factor=2),
            *_unit(wide, 2 * features, 3),
            nn.Upsample(scale_factor=2),
            *_unit(2 * features, features, 3),
        )
        self.change = nn.Conv2d(features, channels, 7, padding=3)
        nn.init.zeros_(self.change.weight)
        nn.init.zeros_(self.change.bias)  # type: ignore[arg-type]

    def forward(
        self, images: Float[Tensor, "B C H W"], told: Float[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B C H W"]:
        x = images
        if told is not None:
            maps = told[:, :, None, None].expand(-1, -1, *images.shape[2:])
            x = torch.cat([images, maps.to(images)], dim=1)
        made: Tensor = torch.sigmoid(torch.logit(images, eps=EDGE) + self.change(self.layers(x)))
        return made


class PatchDiscriminator(nn.Module):
    """(B, C, H, W) -> (B, 1, H / 8, W / 8), a logit a patch (Isola et al., "pix2pix", CVPR 2017);
    and (B, classes) of the whole picture, where there are classes."""

    def __init__(self, channels: int, features: int, *, classes: int = 0) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, features, 4, stride=2, padding=1),
            nn.LeakyReLU(LEAK),
            nn.Conv2d(features, 2 * features, 4, stride=2, padding=1),
            nn.LeakyReLU(LEAK),
            nn.Conv2d(2 * features, 4 * features, 4, stride=2, padding=1),
            nn.LeakyReLU(LEAK),
        )
        self.patches = nn.Conv2d(4 * features, 1, 3, padding=1)
        self.classes = nn.Linear(4 * features, classes) if classes else None

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 1 H_8 W_8"]:
        patches: Tensor = self.patches(self.layers(images))
        return patches

    def classify(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B classes"]:
        if self.classes is None:
            raise TypeError("it was made without classes")
        logits: Tensor = self.classes(self.layers(images).mean(dim=(2, 3)))
        return logits


def _unit(channels_in: int, channels_out: int, kernel: int, *, stride: int = 1) -> list[nn.Module]:
    padding = (kernel - stride + 1) // 2
    return [
        nn.Conv2d(channels_in, channels_out, kernel, stride=stride, padding=padding, bias=False),
        nn.InstanceNorm2d(channels_out, affine=True),
        nn.ReLU(),
    ]
