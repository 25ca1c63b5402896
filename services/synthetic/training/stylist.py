"""A few real characters a class -> as many made ones as one wants: SAAE that learns from few.

Both inputs and what should come back are augmented, each on its own: the content is any picture of
the class (or its glyph), the style is the wanted picture itself. The vector of style is short: a
longer one carries the whole picture, and the content is ignored.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING
from zlib import crc32

import torch

from services.synthetic.models.saae import Saae, SaaeSettings
from services.synthetic.training.augmentation import Augmentation
from services.synthetic.training.pictures import Pictures
from services.synthetic.training.recogniser import Characters
from services.synthetic.training.settings import TrainingSettings
from services.synthetic.training.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from services.synthetic.models.system import Batch

MILD = Augmentation(
    degrees=6, shear=0.09, scale=0.09, shift=0.9, elastic=0.2, thickness=0.42,
    blur=0, contrast=0, brightness=0,
)  # fmt: skip
"""Of contents and of styles: what the network makes of them varies enough."""

AT_ONCE = 256


@dataclass(frozen=True, kw_only=True)
class StylistSettings:
    """Chosen on seeds that are not reported. average: of the maker's weights over steps."""

    steps: int = 600
    reconstruction_steps: int = 300
    discriminator_steps: int = 50
    features: int = 8
    style: int = 8
    adversarial: float = 0.02
    learning_rate: float = 2e-3
    average: float = 0


@dataclass(frozen=True, eq=False)
class Lessons(Pictures):
    """Pictures whose batches are augmented. contents: others that show what their label says."""

    contents: Characters = field(kw_only=True)

    def batch(self, count: int, random: torch.Generator) -> Batch:
        drawn = torch.randint(len(self), (count,), generator=random)
        labels = torch.from_numpy(self.labels)[drawn]
        images = torch.from_numpy(self.images)[drawn].float() / 255
        return {
            "images": MILD(images, random),
            "labels": labels,
            "contents": MILD(of_labels(self.contents, labels, random), random),
        }


class Stylist:
    """An SAAE, and the contents that it was taught with.

    Raises what `Trainer` raises: Conflict (`other_settings`) where the workspace holds a training
    on other pictures or by other settings.
    """

    def __init__(
        self,
        few: Pictures,
        contents: Characters,
        settings: StylistSettings,
        *,
        seed: int,
        workspace: Path,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        _, channels, height, width = few.images.shape
        told = asdict(settings)
        steps, average = told.pop("steps"), told.pop("average")
        sizes = {"channels": channels, "height": height, "width": width}
        torch.manual_seed(seed)
        trainer = Trainer(
            Saae(SaaeSettings(classes=len(few.classes), **sizes, **told)),
            Lessons(few.name, few.images, few.labels, few.classes, contents=contents),
            TrainingSettings(steps=steps, average=average, seed=seed),
            workspace,
            identity={"stylist": asdict(settings), "pictures": crc32(few.images.tobytes())},
        )
        trainer.run(say, every_steps=200)
        self._maker = trainer.maker.eval()
        self._contents = contents

    @torch.no_grad()
    def made(self, each: int, styles: Tensor, *, seed: int) -> Characters:
        """So many of each class, each in the style of one of `styles`, (N, C, H, W) in [0, 1]."""
        random = torch.Generator().manual_seed(seed)
        labels = torch.arange(int(self._contents.labels.max()) + 1).repeat_interleave(each)
        contents = MILD(of_labels(self._contents, labels, random), random)
        lent = styles[torch.randint(len(styles), (len(labels),), generator=random)]
        styled = MILD(lent, random)
        pairs = zip(*(torch.split(one, AT_ONCE) for one in (contents, styled)), strict=True)
        return Characters(torch.cat([self._maker(*pair) for pair in pairs]), labels)


def of_labels(pictures: Characters, labels: Tensor, random: torch.Generator) -> Tensor:
    """-> (N, C, H, W): for each label some picture of that class."""
    drawn = torch.empty(len(labels), dtype=torch.int64)
    for label in torch.unique(labels):
        own, asked = (torch.nonzero(one == label).flatten() for one in (pictures.labels, labels))
        drawn[asked] = own[torch.randint(len(own), (len(asked),), generator=random)]
    return pictures.images[drawn]
