"""A clip's frames and boxes -> the people in it: one track each, with its looks and best crop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.reid.core.looks import Looks, pooled
from services.reid.core.quality import can_show_a_person, quality
from services.reid.core.tracking import Tracker
from shared.clock import SECOND_US
from shared.messages import Detection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.reid.core.tracking import Track
    from services.reid.detectors.detector import Detector
    from shared.images import Pixels
    from shared.inference import Array
    from shared.messages import Box


@dataclass(frozen=True, eq=False)
class Frame:
    """An owned frame, and the people in it that its pushing worker found (None: did not look)."""

    captured_us: int
    pixels: Pixels
    boxes: tuple[Box, ...] | None


@dataclass(frozen=True, eq=False)
class Sight:
    """A box in a frame, and its rgb pixels."""

    captured_us: int
    box: Box
    crop: Pixels
    quality: float


@dataclass(frozen=True, eq=False)
class Sights:
    """frames: what was seen in each frame that was looked at, by its time of capture. size: width
    and height of a frame. memory: the detector's."""

    frames: dict[int, tuple[Sight, ...]]
    size: tuple[int, int]
    memory: bytes | None

    @property
    def all(self) -> list[Sight]:
        return [sight for seen in self.frames.values() for sight in seen]


@dataclass(frozen=True, eq=False)
class Person:
    """One person within a clip. crop: rgb pixels of the best box. looks: of all boxes together."""

    detections: tuple[Detection, ...]
    crop: Pixels
    looks: Looks


def find_people(
    frames: Sequence[Frame], detector: Detector, memory: bytes | None, *, every: int
) -> Sights:
    """Who can be seen in a clip's owned frames.

    Boxes that came with a frame are taken as they are; the detector looks at every `every`th frame
    of the others, and learns the background from all. Boxes too small or too narrow to show a
    person are left out.
    """
    pushed = {n: frame.boxes for n, frame in enumerate(frames) if frame.boxes is not None}
    look_at = [n for n in range(0, len(frames), every) if n not in pushed]
    boxes: dict[int, Sequence[Box]] = dict(pushed)
    if look_at:
        findings = detector.detect([frame.pixels for frame in frames], look_at, memory)
        boxes |= dict(zip(look_at, findings.boxes, strict=True))
        memory = findings.memory
    height, width = frames[0].pixels.shape[:2]
    return Sights(
        {frames[n].captured_us: _sights(frames[n], boxes[n]) for n in sorted(boxes)},
        (width, height),
        memory,
    )


def follow(sights: Sights, vectors: Array) -> list[Person]:
    """vectors: (N, 256), the embeddings of `sights.all` -> the people, in the order of their
    entering."""
    embedded = iter(vectors)
    tracker = Tracker(frame_size=sights.size)
    sight_of: dict[int, Sight] = {}
    for captured_us, seen in sights.frames.items():
        looks = [Looks(next(embedded), sight.quality) for sight in seen]
        tracker.step(captured_us / SECOND_US, [sight.box for sight in seen], looks)
        sight_of |= {id(look): sight for look, sight in zip(looks, seen, strict=True)}
    return [_person(track, sight_of) for track in tracker.tracks]


def _person(track: Track, sight_of: dict[int, Sight]) -> Person:
    seen = [sight_of[id(step.looks)] for step in track.steps]
    return Person(
        tuple(Detection(captured_us=sight.captured_us, box=sight.box) for sight in seen),
        max(seen, key=lambda sight: sight.quality).crop,
        pooled(step.looks for step in track.steps if step.looks is not None),
    )


def _sights(frame: Frame, boxes: Sequence[Box]) -> tuple[Sight, ...]:
    height, width = frame.pixels.shape[:2]
    found = []
    for box in boxes:
        crop = crop_of(frame.pixels, box)
        if can_show_a_person(crop):
            others = [other for other in boxes if other is not box]
            value = quality(crop, box, frame_size=(width, height), others=others)
            found.append(Sight(frame.captured_us, box, crop, value))
    return tuple(found)


def crop_of(frame: Pixels, box: Box) -> Pixels:
    """The pixels of a box, as far as they lie within the frame."""
    left, top = max(0, round(box.x)), max(0, round(box.y))
    right, bottom = round(box.x + box.width), round(box.y + box.height)
    return np.ascontiguousarray(frame[top : max(bottom, top), left : max(right, left)])
