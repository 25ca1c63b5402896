"""A clip's frames and boxes -> the people in it: one track each, with its best crop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.reid.core.quality import quality
from services.reid.core.tracking import track_clip
from shared.clock import SECOND_US
from shared.messages import Detection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.reid.core.tracking import Track
    from services.reid.detectors.detector import Detector
    from shared.images import Pixels
    from shared.messages import Box

MIN_CROP = 8
"""Pixels that each side of a crop must have to be embedded."""


@dataclass(frozen=True, eq=False)
class Look:
    """An owned frame, and the people in it that its pushing worker found (None: did not look)."""

    captured_us: int
    pixels: Pixels
    boxes: tuple[Box, ...] | None


@dataclass(frozen=True, eq=False)
class Person:
    """One person within a clip. crop: rgb pixels of the best box."""

    detections: tuple[Detection, ...]
    crop: Pixels
    quality: float


@dataclass(frozen=True)
class People:
    """looked_us: capture times of the frames that were looked at. memory: the detector's."""

    persons: tuple[Person, ...]
    looked_us: tuple[int, ...]
    memory: bytes | None


def find_people(
    looks: Sequence[Look], detector: Detector, memory: bytes | None, *, every: int
) -> People:
    """The people of a clip's owned frames.

    Boxes that came with a frame are taken as they are; the detector looks at every `every`th frame
    of the others, and learns the background from all.
    """
    pushed = {n: look.boxes for n, look in enumerate(looks) if look.boxes is not None}
    look_at = [n for n in range(0, len(looks), every) if n not in pushed]
    boxes: dict[int, Sequence[Box]] = dict(pushed)
    if look_at:
        findings = detector.detect([look.pixels for look in looks], look_at, memory)
        boxes |= dict(zip(look_at, findings.boxes, strict=True))
        memory = findings.memory
    frames = [(looks[n].captured_us / SECOND_US, boxes[n]) for n in sorted(boxes)]
    height, width = looks[0].pixels.shape[:2]
    tracks = track_clip(frames, frame_size=(width, height))
    by_time = {look.captured_us: n for n, look in enumerate(looks)}
    persons = [_person(track, looks, boxes, by_time) for track in tracks]
    return People(
        tuple(person for person in persons if person is not None),
        tuple(looks[n].captured_us for n in sorted(boxes)),
        memory,
    )


def _person(
    track: Track,
    looks: Sequence[Look],
    boxes: dict[int, Sequence[Box]],
    by_time: dict[int, int],
) -> Person | None:
    """None where no box of the track leaves a crop that could be embedded."""
    detections = tuple(
        Detection(captured_us=round(step.time_s * SECOND_US), box=step.box) for step in track.steps
    )
    best: tuple[float, Pixels] | None = None
    for detection in detections:
        n = by_time[detection.captured_us]
        crop = crop_of(looks[n].pixels, detection.box)
        if min(crop.shape[:2]) < MIN_CROP:
            continue
        frame_height, frame_width = looks[n].pixels.shape[:2]
        value = quality(
            crop,
            detection.box,
            frame_size=(frame_width, frame_height),
            others=[other for other in boxes[n] if other is not detection.box],
        )
        if best is None or value > best[0]:
            best = (value, crop)
    return None if best is None else Person(detections, best[1], best[0])


def crop_of(frame: Pixels, box: Box) -> Pixels:
    """The pixels of a box, as far as they lie within the frame."""
    left, top = max(0, round(box.x)), max(0, round(box.y))
    right, bottom = round(box.x + box.width), round(box.y + box.height)
    return np.ascontiguousarray(frame[top : max(bottom, top), left : max(right, left)])
