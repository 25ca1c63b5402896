"""Made pictures beside those of the data set that they were made of -> figures in the manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.synthetic.crop_name import crop_name_of
from services.synthetic.training.features import Extractor, compared
from services.synthetic.training.metrics import NEIGHBOURS
from shared.errors import Malformed
from shared.made_data import IMAGES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from shared.made_data import MadeData
    from shared.model_store import StoredModel


class Measure:
    """The figures are those of the command `measure`, which has the real side from elsewhere.

    Raises Malformed (`no_extractor`).
    """

    def __init__(self, extractor: StoredModel, source: MadeData) -> None:
        self._extractor = Extractor(extractor)
        self._source = source

    def raise_if_too_few(self, made: int, classes: Sequence[str]) -> None:
        """made: pictures that are to come. classes: theirs; none: unknown, or all.

        Raises Malformed (`too_few_pictures`).
        """
        count = min(made, len(self._real(classes)))
        if count <= NEIGHBOURS:
            raise Malformed(
                f"made and real pictures are measured by their {NEIGHBOURS} neighbours, and of one"
                f" side there are {count}: name no extractor, or more pictures",
                code="too_few_pictures",
            )

    def join(self, made: MadeData, seed: int) -> MadeData:
        """The figures join the manifest, named with the extractor."""
        real = self._real(made.manifest.classes)
        return made.judged(metrics=compared(self._extractor, real, made.images, seed))

    def _real(self, classes: Sequence[str]) -> list[Path]:
        """Pictures of these classes, of all where none is named; nobody is not among them."""
        found = []
        for path in self._source.images:
            crop = crop_name_of(path.name) if path.parent.name == IMAGES else None
            label = crop.label if crop else path.parent.name
            if (not crop or crop.person > 0) and (not classes or label in classes):
                found.append(path)
        return found
