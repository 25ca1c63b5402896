"""A stored system -> as many images as one wants, the same for the same seed. No torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from shared.errors import Malformed
from shared.inference import Provider, open_session

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.synthetic.training.pictures import Pictures
    from shared.inference import Array
    from shared.model_store import StoredModel

BATCH = 32


class Draws:
    """What a system is given, by the names of its inputs.

    noise: normal. contents: templates, class after class; styles: pictures of any class. images:
    pictures to be translated; targets: the domain of each, one after the other.
    """

    def __init__(self, count: int, seed: int, pictures: Pictures | None) -> None:
        self._count = count
        self._random = np.random.default_rng(seed)
        self._pictures = pictures
        self.labels = np.zeros(count, np.int64)

    def of(self, name: str, width: int) -> Array:
        """width: of the input's second axis. Raises Malformed (`pictures_needed`)."""
        if name == "noise":
            return self._random.standard_normal((self._count, width), np.float32)
        if self._pictures is None:
            raise Malformed(
                "the system draws contents, styles or translations of pictures: name some, by"
                " --data",
                code="pictures_needed",
            )
        pictures = self._pictures
        in_turn = np.arange(self._count)
        if name == "targets":
            wanted = in_turn % width
            return np.eye(width, dtype=np.float32)[wanted]
        if name == "contents":
            self.labels = in_turn % len(pictures.templates)
            return _pixels(pictures.templates[self.labels])
        rows = self._random.integers(len(pictures), size=self._count)
        if name == "images":
            self.labels = pictures.labels[rows]
        return _pixels(pictures.images[rows])


def make(
    model: StoredModel, count: int, seed: int, pictures: Pictures | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """-> images (count, C, H, W), and the label of each: of its content, or of the picture that was
    translated; 0 where the system knows neither.

    Raises Malformed (`pictures_needed`, `too_few_pictures`) and what its session raises.
    """
    if count < 1:
        raise Malformed(f"{count} images cannot be made", code="too_few_pictures")
    settings = model.card.settings
    draws = Draws(count, seed, pictures)
    widths = {"noise": settings.get("noise", 0), "targets": settings.get("classes", 0)}
    inputs = [draws.of(name, widths.get(name, 0)) for name in settings["inputs"]]
    return _asked(model, inputs), draws.labels


def restyle(
    model: StoredModel, contents: NDArray[np.uint8], styles: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """(N, C, H, W) each -> (N, C, H, W): every content in the style beside it.

    Raises Malformed (`no_stylist`) for a system that takes no contents and styles, or others in
    size, and what its session raises.
    """
    wanted = tuple(model.card.input.shape[1:])
    if model.card.settings["inputs"] != ["contents", "styles"] or contents.shape[1:] != wanted:
        raise Malformed(
            f"{model.card.name} draws no contents of {contents.shape[1:]} in a style; an saae"
            " that was trained on pictures of their size does",
            code="no_stylist",
        )
    return _asked(model, [_pixels(contents), _pixels(styles)])


def _asked(model: StoredModel, inputs: list[Array]) -> NDArray[np.uint8]:
    session = open_session(model.path, provider=Provider.CPU)
    made = [
        session(*(one[start : start + BATCH] for one in inputs))[0]
        for start in range(0, len(inputs[0]), BATCH)
    ]
    return np.rint(np.concatenate(made) * 255).astype(np.uint8)


def _pixels(images: NDArray[np.uint8]) -> Array:
    return images.astype(np.float32) / np.float32(255)
