"""Pictures of one camera -> the same in another camera's style: CamStyle (Zhong et al., "Camera
Style Adaptation for Person Re-identification", CVPR 2018).

A CycleGAN (Zhu et al., "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial
Networks", ICCV 2017) a pair of cameras: least squares, what goes there and back must be what it
was, and what is of the other camera already must stay, so that colours are kept. The pool of former
pictures that CycleGAN shows its discriminators is left out.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from services.synthetic.losses.adversarial import LEAST_SQUARES
from services.synthetic.models.system import Adam, Batch, Losses, Moment, Phase, System
from services.synthetic.models.translation import (
    PatchDiscriminator,
    TranslationSettings,
    Translator,
)


class CamStyle(System):
    """a and b: pictures of the first and of the second camera."""

    NAME: ClassVar[str] = "camstyle"
    PAPER: ClassVar[str] = (
        "Zhong et al., Camera Style Adaptation for Person Re-identification, CVPR 2018"
    )
    NEEDS: ClassVar[frozenset[str]] = frozenset({"a", "b"})
    settings: TranslationSettings

    def __init__(self, settings: TranslationSettings) -> None:
        super().__init__()
        self.settings = settings
        sizes = (settings.channels, settings.features)
        self.to_b = Translator(*sizes, settings.blocks)
        self.to_a = Translator(*sizes, settings.blocks)
        self.of_b, self.of_a = PatchDiscriminator(*sizes), PatchDiscriminator(*sizes)

    @property
    def phases(self) -> tuple[Phase, ...]:
        adam = Adam(learning_rate=self.settings.learning_rate)
        return (
            Phase(
                name="discriminate",
                trains=(self.of_a, self.of_b),
                losses=self.discriminate,
                optimiser=adam,
            ),
            Phase(
                name="translate",
                trains=(self.to_a, self.to_b),
                losses=self.translate,
                optimiser=adam,
            ),
        )

    @property
    def maker(self) -> nn.Module:
        return self.to_b

    def example(self, count: int, random: torch.Generator) -> dict[str, Tensor]:
        return {"images": self.settings.example(count, random)}

    def discriminate(self, batch: Batch, moment: Moment) -> Losses:
        with torch.no_grad():
            made_b, made_a = self.to_b(batch["a"]), self.to_a(batch["b"])
        return {
            "a": LEAST_SQUARES.discriminator(self.of_a(batch["a"]), self.of_a(made_a)),
            "b": LEAST_SQUARES.discriminator(self.of_b(batch["b"]), self.of_b(made_b)),
        }

    def translate(self, batch: Batch, moment: Moment) -> Losses:
        settings, a, b = self.settings, batch["a"], batch["b"]
        made_b, made_a = self.to_b(a), self.to_a(b)
        passed = LEAST_SQUARES.generator(self.of_b(made_b)) + LEAST_SQUARES.generator(
            self.of_a(made_a)
        )
        back = l1_loss(self.to_a(made_b), a) + l1_loss(self.to_b(made_a), b)
        kept = l1_loss(self.to_b(b), b) + l1_loss(self.to_a(a), a)
        return {
            "adversarial": passed,
            "cycle": settings.cycle * back,
            "identity": settings.identity * kept,
            **self.also(a, b, made_a, made_b),
        }

    def also(self, a: Tensor, b: Tensor, made_a: Tensor, made_b: Tensor) -> Losses:
        """What a kindred system asks of its translators besides. made_a: of b, and the reverse."""
        return {}
