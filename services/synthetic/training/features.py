"""Pictures and a stored model -> its features of them, by which made pictures are measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from services.synthetic.generating import check_extractor
from services.synthetic.training.metrics import frechet_distance, kernel_distance, manifolds
from shared.images import decode
from shared.inference import Provider, open_session

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from shared.model_store import StoredModel

    Pixels = NDArray[np.uint8]

BATCH = 8

MEASURED = 2000
"""Pictures of each side, at most: a share that is covered depends on how many there are."""

INCEPTION = "inception-v3"
"""A stored model of this name gives FID. None is shipped: its weights are fetched by whoever wants
them."""


class Extractor:
    """A stored model that takes pictures, prepared as its card says."""

    def __init__(self, model: StoredModel) -> None:
        """Raises Malformed (`no_extractor`)."""
        check_extractor(model.card)
        spec = model.card.input
        self.model = model
        self._session = open_session(model.path, provider=Provider.CPU)
        self._height, self._width = spec.shape[-2:]
        self._resized = tuple(model.card.settings.get("resized", spec.shape[-2:]))
        self._mean = np.asarray(spec.mean, np.float32)
        self._std = np.asarray(spec.std, np.float32)

    @property
    def name(self) -> str:
        """With which figures are named: of other weights they are other figures."""
        return f"{self.model.card.name}_{self.model.digest[:8]}"

    def features(self, crops: Sequence[Pixels]) -> NDArray[np.float32]:
        """(H, W, 3) each, rgb -> (N, D)."""
        prepared = np.stack([self._prepared(crop) for crop in crops])
        found = [
            self._session(prepared[start : start + BATCH])[0]
            for start in range(0, len(prepared), BATCH)
        ]
        return np.concatenate(found).reshape(len(crops), -1)

    def _prepared(self, crop: Pixels) -> NDArray[np.float32]:
        height, width = self._resized
        whole = cv2.resize(crop, (width, height), interpolation=cv2.INTER_LINEAR)
        top, left = (height - self._height) // 2, (width - self._width) // 2
        cut = whole[top : top + self._height, left : left + self._width]
        pixels = (cut.astype(np.float32) / np.float32(255) - self._mean) / self._std
        return pixels.transpose(2, 0, 1)


def compared(
    extractor: Extractor,
    real: Sequence[Path],
    made: Sequence[Path],
    seed: int,
    count: int = MEASURED,
) -> dict[str, float]:
    """Files of both sides -> what `measured` says of so many of each, drawn."""
    random = np.random.default_rng(seed)
    shown, like = (
        [decode(side[row].read_bytes(), "rgb") for row in random.permutation(len(side))[:count]]
        for side in (made, real)
    )
    return measured(extractor, like, shown, seed)


def measured(
    extractor: Extractor, real: Sequence[Pixels], made: Sequence[Pixels], seed: int
) -> dict[str, float]:
    """kid, kid_sd, precision, recall, density and coverage, each named with the extractor; fid of
    Inception's features alone."""
    ours, theirs = extractor.features(made), extractor.features(real)
    distance = kernel_distance(theirs, ours, np.random.default_rng(seed))
    found = {"kid": distance.mean, "kid_sd": distance.deviation}
    found |= manifolds(theirs, ours)._asdict()
    if extractor.model.card.name == INCEPTION:
        found["fid"] = frechet_distance(theirs, ours)
    return {f"{name}_{extractor.name}": value for name, value in found.items()}
