"""A stored system -> as many images as one wants, the same for the same seed. No torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from shared.errors import Malformed
from shared.inference import Provider, open_session

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.synthetic.training.pictures import Pictures
    from shared.model_store import StoredModel

BATCH = 32


def make(
    model: StoredModel, count: int, seed: int, pictures: Pictures | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """-> images (count, C, H, W) and their labels, 0 where the system knows no classes.

    pictures: for a system that draws contents in a style: real ones, whose templates are the
    contents, class after class, and of which each style is drawn evenly. Raises Malformed
    (`pictures_needed`) where such a system gets none.
    """
    if count < 1:
        raise Malformed(f"{count} images cannot be made", code="too_few_pictures")
    random = np.random.default_rng(seed)
    spec = model.card.input
    if spec.name == "noise":
        labels = np.zeros(count, np.int64)
        inputs = [random.standard_normal((count, *spec.shape[1:]), np.float32)]
    elif pictures is None:
        raise Malformed(
            f"{model.card.name} draws contents in the style of pictures: name some, by --data",
            code="pictures_needed",
        )
    else:
        labels = np.arange(count) % len(pictures.templates)
        contents = pictures.templates[labels]
        styles = pictures.images[random.integers(len(pictures), size=count)]
        inputs = [one.astype(np.float32) / np.float32(255) for one in (contents, styles)]
    session = open_session(model.path, provider=Provider.CPU)
    made = [
        session(*(one[start : start + BATCH] for one in inputs))[0]
        for start in range(0, count, BATCH)
    ]
    return np.rint(np.concatenate(made) * 255).astype(np.uint8), labels
