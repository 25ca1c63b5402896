"""Frames of a fixed camera -> people: what differs from the background and has a person's shape.

Needs no weights and no GPU. Regions of the foreground are taken apart by silhouettes whose size
the camera itself teaches, and OpenCV's HOG classifier gives each a second opinion.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from services.reid.core.background import Background, BackgroundSettings
from services.reid.detectors.detector import Findings
from services.reid.detectors.hog import SecondOpinion
from services.reid.detectors.silhouettes import (
    Figure,
    SilhouetteSettings,
    figures_by_shape,
    figures_by_stature,
    regions_of,
    whole_person,
)
from services.reid.detectors.stature import Stature
from shared.errors import Corrupt
from shared.messages import Box

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from services.reid.core.background import Mask
    from shared.images import Pixels


@dataclass(frozen=True, kw_only=True)
class BackgroundDetectorSettings:
    """hog_floor: below this margin a figure is no person, whatever its shape (vehicles, ghosts).
    hog_weight, hog_offset: confidence = logistic(weight * margin + offset).
    samples: statures that one clip may teach at most, so that a crowd does not drown the past.
    """

    background: BackgroundSettings = field(default_factory=BackgroundSettings)
    silhouettes: SilhouetteSettings = field(default_factory=SilhouetteSettings)
    hog_floor: float = -1.4
    hog_weight: float = 1.0
    hog_offset: float = 1.0
    samples: int = 24


MIN_SEEN = 0.3
"""Share of a figure that must lie within the frame: a sliver at its edge tells nobody. Ours."""

_LENGTHS = struct.Struct("<I")


@dataclass(frozen=True)
class Memory:
    """What the detector remembers of a camera."""

    background: Background
    stature: Stature

    def to_bytes(self) -> bytes:
        background = self.background.to_bytes()
        return _LENGTHS.pack(len(background)) + background + self.stature.to_bytes()

    @classmethod
    def from_bytes(cls, value: bytes) -> Memory:
        """Raises Corrupt for bytes that `to_bytes` did not write."""
        try:
            (length,) = _LENGTHS.unpack_from(value)
        except struct.error as error:
            raise Corrupt(f"no memory of a camera: {error}", code="detector_memory") from error
        body = value[_LENGTHS.size :]
        return cls(Background.from_bytes(body[:length]), Stature.from_bytes(body[length:]))


class BackgroundDetector:
    """The default detector; for cameras that do not move."""

    def __init__(self, settings: BackgroundDetectorSettings = BackgroundDetectorSettings()) -> None:
        self._settings = settings
        self._second_opinion = SecondOpinion()

    def detect(
        self, frames: Sequence[Pixels], look_at: Sequence[int], memory: bytes | None
    ) -> Findings:
        """See Detector. The first clip makes its own background, so its people are found too."""
        if not frames:
            return Findings((), memory)
        known = self._recall(frames, memory)
        background, masks = known.background, []
        for frame in frames:
            background, mask = background.update(frame, self._settings.background)
            masks.append(mask)
        # The first clip has all to learn; later ones need no more than what they look at anyway.
        lessons = masks if memory is None else [masks[n] for n in look_at]
        stature = known.stature.seeing(self._statures(lessons))
        if background.median.shape != known.background.median.shape:
            stature = Stature.unknown()
        line = stature.line()
        boxes = []
        for n in look_at:
            shapes = self._settings.silhouettes
            figures = (
                figures_by_stature(masks[n], line, shapes)
                if line
                else figures_by_shape(masks[n], shapes)
            )
            boxes.append(tuple(self._confirmed(frames[n], figures, masks[n])))
        return Findings(tuple(boxes), Memory(background, stature).to_bytes())

    def _recall(self, frames: Sequence[Pixels], memory: bytes | None) -> Memory:
        """The camera's memory, or a new one made of this very clip."""
        if memory is not None:
            try:
                return Memory.from_bytes(memory)
            except Corrupt:
                # A newer version wrote it, or it is damaged: a clip's worth of learning is lost.
                pass
        of_one_size = [frame for frame in frames if frame.shape == frames[0].shape]
        background = Background.of_frames(of_one_size, self._settings.background)
        return Memory(background, Stature.unknown())

    def _statures(self, masks: Iterable[Mask]) -> list[tuple[float, float]]:
        """(row of the feet, height) of people seen whole, evenly over the clip."""
        seen = [
            (float(region.foot), float(region.height))
            for mask in masks
            for region in regions_of(mask)
            if whole_person(region, mask, self._settings.silhouettes)
        ]
        every = math.ceil(len(seen) / self._settings.samples) or 1
        return seen[::every]

    def _confirmed(self, frame: Pixels, figures: Iterable[Figure], mask: Mask) -> Iterable[Box]:
        """The figures that the second opinion does not reject, in pixels of the frame."""
        height, width = frame.shape[:2]
        factor = round(width / mask.shape[1])
        for figure in figures:
            in_frame = replace(
                figure,
                x=factor * figure.x,
                y=factor * figure.y,
                width=factor * figure.width,
                height=factor * figure.height,
            )
            margin = self._second_opinion.margin(frame, in_frame)
            if margin < self._settings.hog_floor:
                continue
            box = clipped(in_frame, width, height, self._confidence(margin))
            if box is not None:
                yield box

    def _confidence(self, margin: float) -> float:
        settings = self._settings
        return 1.0 / (1.0 + math.exp(-(settings.hog_weight * margin + settings.hog_offset)))


def clipped(figure: Figure, width: int, height: int, confidence: float) -> Box | None:
    """The part of a figure that lies within the frame, or None where too little of it does."""
    left, top = max(0.0, figure.x), max(0.0, figure.y)
    right = min(float(width), figure.x + figure.width)
    bottom = min(float(height), figure.y + figure.height)
    seen = max(0.0, right - left) * max(0.0, bottom - top)
    if seen < MIN_SEEN * figure.width * figure.height:
        return None
    return Box(x=left, y=top, width=right - left, height=bottom - top, confidence=confidence)
