"""Crops, their camera and the camera that is wanted -> the crops in its style: every way there is.

A translator learns small pictures, which cost a CPU little. What it changes of a small one is
brought up to the size of the crop: the crop stays as sharp as it was, and a style is of low
frequency (ours).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import cv2
import numpy as np

from services.synthetic.training.colours import Palette, jittered, transferred
from services.synthetic.training.market import cameras_of
from shared.errors import Malformed, Missing
from shared.inference import Provider, open_session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from services.synthetic.training.market import PersonCrop
    from shared.model_store import StoredModel

    Pixels = NDArray[np.uint8]
    Floats = NDArray[np.float32]

COLOUR_TRANSFER, COLOUR_JITTER = "colour_transfer", "colour_jitter"
CONTROLS = (COLOUR_TRANSFER, COLOUR_JITTER)

EDGE = 1e-3
"""Pixels are kept so far from 0 and 1, whose logits are infinite."""


class Restyle(Protocol):
    """A way from one camera's style to another's."""

    def __call__(self, crops: Sequence[Pixels], source: int, target: int) -> list[Pixels]:
        """crops: (H, W, 3) rgb, all of the source's camera -> as many of the same sizes."""
        ...


@dataclass(frozen=True)
class ColourTransfer:
    """By the palettes of the cameras."""

    palettes: Mapping[int, Palette]

    @classmethod
    def of(cls, crops: Sequence[PersonCrop]) -> ColourTransfer:
        """The palettes of all cameras that took one of these crops."""
        by_camera = {
            camera: Palette.of([crop.read() for crop in crops if crop.camera == camera])
            for camera in cameras_of(crops)
        }
        return cls(by_camera)

    def __call__(self, crops: Sequence[Pixels], source: int, target: int) -> list[Pixels]:
        """Raises Missing (`unknown_camera`)."""
        if unknown := {source, target} - self.palettes.keys():
            raise Missing(f"no crop shows camera {unknown.pop()}", code="unknown_camera")
        ends = self.palettes[source], self.palettes[target]
        return [transferred(crop, *ends) for crop in crops]


@dataclass(frozen=True)
class ColourJitter:
    """At random: no camera is looked at."""

    random: np.random.Generator

    def __call__(self, crops: Sequence[Pixels], source: int, target: int) -> list[Pixels]:
        return [jittered(crop, self.random) for crop in crops]


class Translation:
    """By a stored translator. domains: the cameras that its classes stand for, in their order; for
    a translator of one pair, the camera that it translates to.

    first: what is done to a crop before, such as colour transfer; None: nothing.
    Raises Malformed (`no_translator`, `other_domains`).
    """

    def __init__(
        self, model: StoredModel, domains: Sequence[int], *, first: Restyle | None = None
    ) -> None:
        settings = model.card.settings
        if "images" not in settings.get("inputs", ()):
            raise Malformed(
                f"{model.card.name} translates no pictures: it takes"
                f" {', '.join(settings.get('inputs', ()))}",
                code="no_translator",
            )
        self._told = "targets" in settings["inputs"]
        if len(domains) != (settings["classes"] if self._told else 1):
            raise Malformed(
                f"{model.card.name} does not know as many cameras as {list(domains)}: name the"
                " camera of each of its classes",
                code="other_domains",
            )
        self._domains = list(domains)
        self._size = (settings["width"], settings["height"])
        self._session = open_session(model.path, provider=Provider.CPU)
        self._first = first

    def __call__(self, crops: Sequence[Pixels], source: int, target: int) -> list[Pixels]:
        """Raises Missing (`unknown_camera`)."""
        if target not in self._domains:
            raise Missing(f"the model knows no camera {target}", code="unknown_camera")
        begun = self._first(crops, source, target) if self._first else list(crops)
        small = np.stack(
            [cv2.resize(crop, self._size, interpolation=cv2.INTER_AREA) for crop in begun]
        )
        given = [small.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)]
        if self._told:
            wanted = np.full(len(crops), self._domains.index(target))
            given.append(np.eye(len(self._domains), dtype=np.float32)[wanted])
        (made,) = self._session(*given)
        change = (_logit(made) - _logit(given[0])).transpose(0, 2, 3, 1)
        return [_changed(crop, one) for crop, one in zip(begun, change, strict=True)]


def _changed(crop: Pixels, change: Floats) -> Pixels:
    """change: of the logits, at the translator's size."""
    height, width = crop.shape[:2]
    whole = cv2.resize(change, (width, height), interpolation=cv2.INTER_LINEAR)
    logit = _logit(crop.astype(np.float32) / np.float32(255)) + whole
    return np.asarray(np.rint(255 / (1 + np.exp(-logit))), np.uint8)


def _logit(x: Floats) -> Floats:
    kept = np.clip(x, EDGE, 1 - EDGE)
    return np.asarray(np.log(kept / (1 - kept)), np.float32)
