"""What a made data set was made of: parents in its manifest, each translation in lineage.csv."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.synthetic.training.making import Made
    from services.synthetic.training.pictures import Pictures
    from shared.made_data import MadeData
    from shared.model_store import StoredModel

LINEAGE = "lineage.csv"


def parents_of(model: StoredModel, source: MadeData | None) -> dict[str, Any]:
    """Names and digests, for a manifest's lineage."""
    told: dict[str, Any] = {"model_trained_on": model.card.training_data}
    if source is not None:
        told["parents"] = [
            {
                "name": source.manifest.name,
                "id": source.folder.name,
                "sha256": source.manifest.sha256,
            }
        ]
    return told


class Translations:
    """file,source_class,target_class,source_file of every picture that was translated. A target is
    a class of the model's, which need not be one of the data set's; so it may have no name."""

    def __init__(self, model: StoredModel, source: MadeData, pictures: Pictures) -> None:
        self._names: Sequence[str] = model.card.settings.get("names", ())
        self._classes = pictures.classes
        self._labels = pictures.labels
        self._files = sorted(source.images)  # as read_pictures reads them
        self._rows = [("file", "source_class", "target_class", "source_file")]

    @classmethod
    def of(
        cls, model: StoredModel, source: MadeData | None, pictures: Pictures | None
    ) -> Self | None:
        """None where the model translates nothing."""
        if source is None or pictures is None or "images" not in model.card.settings["inputs"]:
            return None
        return cls(model, source, pictures)

    def add(self, files: Sequence[str], made: Made) -> None:
        """files: of the made pictures, below images/."""
        for file, row, target in zip(
            files, made.sources.tolist(), made.targets.tolist(), strict=True
        ):
            before = self._classes[self._labels[row]] if self._classes else ""
            after = self._names[target] if target < len(self._names) else ""
            self._rows.append((file, before, after, self._files[row].name))

    @property
    def body(self) -> bytes:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(self._rows)
        return text.getvalue().encode()
