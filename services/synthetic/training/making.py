"""A stored system -> as many images as one wants, the same for the same seed. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from shared.errors import Malformed
from shared.inference import Provider, open_session

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.synthetic.training.pictures import Pictures
    from shared.inference import Array
    from shared.model_store import StoredModel

BATCH = 32

PAIR = 2
"""Classes of a translator that is told no target: from the first to the second."""


class Made(NamedTuple):
    """images: (N, C, H, W). labels: (N,), of the content that was drawn, or of what the picture was
    translated to; of the picture itself where the model's classes are not those of the pictures;
    0 where the system knows none. sources, targets: (N,), or empty where nothing was translated:
    rows of the pictures, classes of the model."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    sources: NDArray[np.int64]
    targets: NDArray[np.int64]


@dataclass(frozen=True)
class Domains:
    """A translator's own classes among those of the pictures. labels: theirs, in its order. pair:
    it is told no target, and translates from the first to the second."""

    labels: tuple[int, ...]
    pair: bool

    @classmethod
    def of(cls, model: StoredModel, pictures: Pictures | None) -> Self | None:
        """None where it has learnt of others than these classes."""
        settings = model.card.settings
        names, pair = settings.get("names", ()), settings["inputs"] == ["images"]
        known = pictures is not None and {*names} <= {*pictures.classes}
        fits = len(names) >= PAIR if pair else len(names) == settings.get("classes")
        if pictures is None or not known or not fits or "images" not in settings["inputs"]:
            return None
        return cls(tuple(pictures.classes.index(name) for name in names), pair)


class Draws:
    """What a system is given, by the names of its inputs.

    noise: normal. contents: templates, class after class; styles: pictures of any class. images:
    pictures to be translated, of the first class where they become the second; targets: the domain
    of each, one after the other. domains: None where they are not classes of the pictures.
    """

    def __init__(
        self, count: int, seed: int, pictures: Pictures | None, domains: Domains | None = None
    ) -> None:
        self._count = count
        self._random = np.random.default_rng(seed)
        self._pictures = pictures
        self._domains = domains
        self.labels = np.zeros(count, np.int64)
        self.sources = self.targets = np.zeros(0, np.int64)

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
            self._become(in_turn % width)
            return np.eye(width, dtype=np.float32)[self.targets]
        if name == "contents":
            self.labels = in_turn % len(pictures.templates)
            return _pixels(pictures.templates[self.labels])
        if name == "images":
            return _pixels(pictures.images[self._translated(pictures)])
        return _pixels(pictures.images[self._random.integers(len(pictures), size=self._count)])

    def _translated(self, pictures: Pictures) -> NDArray[np.int64]:
        """Rows."""
        among = np.arange(len(pictures))
        if self._domains is not None and self._domains.pair:
            among = np.flatnonzero(pictures.labels == self._domains.labels[0])
        self.sources = among[self._random.integers(len(among), size=self._count)]
        self.labels = pictures.labels[self.sources]
        # A pair's; whoever is told targets gets to them next.
        self._become(np.full(self._count, PAIR - 1))
        return self.sources

    def _become(self, targets: NDArray[np.int64]) -> None:
        self.targets = targets
        if self._domains is not None:
            self.labels = np.array(self._domains.labels)[targets]


def make(
    model: StoredModel, count: int, seed: int, pictures: Pictures | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """-> images (count, C, H, W), and the label of each, as `made_of` has them.

    Raises what `made_of` raises.
    """
    made = made_of(model, count, seed, pictures)
    return made.images, made.labels


def made_of(model: StoredModel, count: int, seed: int, pictures: Pictures | None = None) -> Made:
    """Raises Malformed (`pictures_needed`, `too_few_pictures`) and what its session raises."""
    if count < 1:
        raise Malformed(f"{count} images cannot be made", code="too_few_pictures")
    settings = model.card.settings
    draws = Draws(count, seed, pictures, Domains.of(model, pictures))
    widths = {"noise": settings.get("noise", 0), "targets": settings.get("classes", 0)}
    inputs = [draws.of(name, widths.get(name, 0)) for name in settings["inputs"]]
    return Made(_asked(model, inputs), draws.labels, draws.sources, draws.targets)


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
