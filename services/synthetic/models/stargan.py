"""Pictures and the domain that is wanted -> the pictures in it, by one network for all of them.

Choi et al., "StarGAN: Unified Generative Adversarial Networks for Multi-Domain Image-to-Image
Translation", CVPR 2018.

Cameras as domains, as Zhong et al. ("Generalizing A Person Retrieval Model Hetero- and
Homogeneously", ECCV 2018) use it. StarGAN's adversarial loss is Wasserstein's with a gradient
penalty and five critic steps; least squares and one step are ours, for a CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, l1_loss, one_hot

from services.synthetic.losses.adversarial import LEAST_SQUARES
from services.synthetic.models.system import (
    Adam,
    Batch,
    Count,
    Losses,
    Moment,
    Phase,
    System,
    Weight,
)
from services.synthetic.models.translation import (
    PatchDiscriminator,
    TranslationSettings,
    Translator,
)


@dataclass(frozen=True, kw_only=True)
class StarGanSettings(TranslationSettings):
    """classes: domains. domain: weight of showing the wanted one. Its identity loss, of pictures
    told to become what they are, is ours."""

    classes: Count = 6
    domain: Weight = 1.0


class StarGan(System):
    NAME: ClassVar[str] = "stargan"
    PAPER: ClassVar[str] = (
        "Choi et al., StarGAN: Unified Generative Adversarial Networks for Multi-Domain"
        " Image-to-Image Translation, CVPR 2018"
    )
    NEEDS: ClassVar[frozenset[str]] = frozenset({"images", "labels"})
    settings: StarGanSettings

    def __init__(self, settings: StarGanSettings) -> None:
        super().__init__()
        self.settings = settings
        sizes = (settings.channels, settings.features)
        self.translator = Translator(*sizes, settings.blocks, told=settings.classes)
        self.discriminator = PatchDiscriminator(*sizes, classes=settings.classes)

    @property
    def phases(self) -> tuple[Phase, ...]:
        adam = Adam(learning_rate=self.settings.learning_rate)
        return (
            Phase(
                name="discriminate",
                trains=(self.discriminator,),
                losses=self.discriminate,
                optimiser=adam,
            ),
            Phase(
                name="translate", trains=(self.translator,), losses=self.translate, optimiser=adam
            ),
        )

    @property
    def maker(self) -> nn.Module:
        return self.translator

    def example(self, count: int, random: torch.Generator) -> dict[str, Tensor]:
        images = self.settings.example(count, random)
        return {"images": images, "targets": self._told(self._wanted(count, random))}

    def discriminate(self, batch: Batch, moment: Moment) -> Losses:
        images = batch["images"]
        with torch.no_grad():
            made = self.translator(images, self._told(self._wanted(len(images), moment.random)))
        found = LEAST_SQUARES.discriminator(self.discriminator(images), self.discriminator(made))
        domain = cross_entropy(self.discriminator.classify(images), batch["labels"])
        return {"adversarial": found, "domain": self.settings.domain * domain}

    def translate(self, batch: Batch, moment: Moment) -> Losses:
        settings, images = self.settings, batch["images"]
        wanted, own = self._wanted(len(images), moment.random), self._told(batch["labels"])
        made = self.translator(images, self._told(wanted))
        domain = cross_entropy(self.discriminator.classify(made), wanted)
        return {
            "adversarial": LEAST_SQUARES.generator(self.discriminator(made)),
            "domain": settings.domain * domain,
            "cycle": settings.cycle * l1_loss(self.translator(made, own), images),
            "identity": settings.identity * l1_loss(self.translator(images, own), images),
        }

    def _wanted(self, count: int, random: torch.Generator) -> Tensor:
        return torch.randint(
            self.settings.classes, (count,), generator=random, device=random.device
        )

    def _told(self, domains: Tensor) -> Tensor:
        return one_hot(domains, self.settings.classes).float()
