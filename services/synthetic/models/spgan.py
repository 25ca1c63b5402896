"""Pictures of one site -> another site's style, each still unlike everybody there: SPGAN (Deng et
al., "Image-Image Domain Adaptation with Preserved Self-Similarity and Domain-Dissimilarity for
Person Re-identification", CVPR 2018).

A CycleGAN and a siamese network, which learns in a phase of its own: a picture and its translation
are a positive pair, a translation and a picture of the site that it was made for a negative one.
The loss of a pair (eq. 3 and 4):

    (1 - i) max(0, m - d)^2 + i d^2,    d the Euclidean distance of unit vectors, m = 2

and their sum is divided by three, one share a pair, as in the released code. That takes pictures of
the two sites, both real, for the one negative pair, twice: a constant to the translators, whom the
paper wants to keep unlike everybody there. Either is a setting.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

from torch import Tensor, nn
from torch.nn.functional import normalize, relu

from services.synthetic.models.camstyle import CamStyle
from services.synthetic.models.system import Adam, Batch, Losses, Moment, Phase, Weight
from services.synthetic.models.translation import LEAK, TranslationSettings

EMBEDDING = 64


@dataclass(frozen=True, kw_only=True)
class SpGanSettings(TranslationSettings):
    """likeness: weight of the siamese network's loss in the translators', the paper's 2. margin: m,
    the greatest distance that unit vectors can have. negative: pair of a picture that is
    "translated" with one of the other site, as the paper has it, or of two "real" ones, as its
    released code."""

    likeness: Weight = 2.0
    margin: Weight = 2.0
    negative: Literal["translated", "real"] = "translated"


class Siamese(nn.Module):
    """(B, C, H, W) -> (B, 64) of unit length: four convolutions and two linear layers."""

    def __init__(self, settings: SpGanSettings) -> None:
        super().__init__()
        widths = [settings.channels, *(settings.features * n for n in (1, 2, 4, 4))]
        layers: list[nn.Module] = []
        for channels_in, channels_out in pairwise(widths):
            layers += [
                nn.Conv2d(channels_in, channels_out, 4, stride=2, padding=1),
                nn.LeakyReLU(LEAK),
            ]
        self.layers = nn.Sequential(
            *layers,
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
            nn.Linear(widths[-1], 2 * EMBEDDING),
            nn.LeakyReLU(LEAK),
            nn.Linear(2 * EMBEDDING, EMBEDDING),
        )

    def forward(self, images: Tensor) -> Tensor:
        return normalize(self.layers(images), dim=1)


class SpGan(CamStyle):
    NAME: ClassVar[str] = "spgan"
    PAPER: ClassVar[str] = (
        "Deng et al., Image-Image Domain Adaptation with Preserved Self-Similarity and"
        " Domain-Dissimilarity for Person Re-identification, CVPR 2018"
    )
    settings: SpGanSettings

    def __init__(self, settings: SpGanSettings) -> None:
        super().__init__(settings)
        self.siamese = Siamese(settings)

    @property
    def phases(self) -> tuple[Phase, ...]:
        compare = Phase(
            name="compare",
            trains=(self.siamese,),
            losses=self.compare,
            optimiser=Adam(learning_rate=self.settings.learning_rate),
        )
        return (*super().phases, compare)

    def compare(self, batch: Batch, moment: Moment) -> Losses:
        a, b = batch["a"], batch["b"]
        return {"pairs": self._pairs(a, b, self.to_a(b), self.to_b(a))}

    def also(self, a: Tensor, b: Tensor, made_a: Tensor, made_b: Tensor) -> Losses:
        return {"likeness": self.settings.likeness * self._pairs(a, b, made_a, made_b)}

    def _pairs(self, a: Tensor, b: Tensor, made_a: Tensor, made_b: Tensor) -> Tensor:
        of_a, of_b = self.siamese(a), self.siamese(b)
        of_made_a, of_made_b = self.siamese(made_a), self.siamese(made_b)
        near = _squares(of_a, of_made_b).mean() + _squares(of_b, of_made_a).mean()
        if self.settings.negative == "real":
            far = 2 * self._far(of_a, of_b)
        else:
            far = self._far(of_a, of_made_a) + self._far(of_b, of_made_b)
        return (near + far) / 3

    def _far(self, one: Tensor, other: Tensor) -> Tensor:
        apart = (_squares(one, other) + 1e-12).sqrt()
        return relu(self.settings.margin - apart).square().mean()


def _squares(one: Tensor, other: Tensor) -> Tensor:
    """(B, D) each -> (B,)."""
    return (one - other).square().sum(dim=1)
