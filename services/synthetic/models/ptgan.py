"""Pictures of one site -> the same persons before another site's ground: PTGAN (Wei et al., "Person
Transfer GAN to Bridge Domain Gap for Person Re-identification", CVPR 2018).

A CycleGAN whose translators must leave the person as it is: eq. 5,

    L_ID = E |(G(a) - a) o M(a)|_2 + E |(F(b) - b) o M(b)|_2

The paper's masks M are PSPNet's. Here every crop has the same one: an upright ellipse with a soft
edge, where a person stands in a crop of one (ours).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from services.synthetic.models.camstyle import CamStyle
from services.synthetic.models.system import Weight  # noqa: TC001 - read where settings are checked
from services.synthetic.models.translation import TranslationSettings

if TYPE_CHECKING:
    from services.synthetic.models.system import Losses

PERSON_HEIGHT, PERSON_WIDTH = 0.9, 0.6
"""Of the ellipse, as shares of the crop."""

SOFTNESS = 8.0


@dataclass(frozen=True, kw_only=True)
class PtGanSettings(TranslationSettings):
    """foreground: weight of the masked loss; the paper has 10, and CycleGAN's identity loss not."""

    identity: Weight = 0.0
    foreground: Weight = 10.0


class PtGan(CamStyle):
    NAME: ClassVar[str] = "ptgan"
    PAPER: ClassVar[str] = (
        "Wei et al., Person Transfer GAN to Bridge Domain Gap for Person Re-identification,"
        " CVPR 2018"
    )
    settings: PtGanSettings
    mask: Tensor

    def __init__(self, settings: PtGanSettings) -> None:
        super().__init__(settings)
        mask = standing_person(settings.height, settings.width)
        self.register_buffer("mask", mask, persistent=False)

    def also(self, a: Tensor, b: Tensor, made_a: Tensor, made_b: Tensor) -> Losses:
        changed = self._changed(a, made_b) + self._changed(b, made_a)
        return {"foreground": self.settings.foreground * changed}

    def _changed(self, image: Tensor, made: Tensor) -> Tensor:
        """Root of the mean square instead of the norm, so that sizes do not matter (ours)."""
        squares = ((made - image) * self.mask).square().mean(dim=(1, 2, 3))
        return (squares + 1e-12).sqrt().mean()


def standing_person(height: int, width: int) -> Tensor:
    """(H, W): 1 within the ellipse, 0 far from it."""
    rows = torch.linspace(-1, 1, height)[:, None] / PERSON_HEIGHT
    columns = torch.linspace(-1, 1, width)[None] / PERSON_WIDTH
    return torch.sigmoid(SOFTNESS * (1 - (rows.square() + columns.square()).sqrt()))
