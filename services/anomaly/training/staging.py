"""Normal clips of a camera -> the same clips with something in them that never happened there.

Pseudo-anomalies after Astrid, Zaheer, Lee ("Learning Not to Reconstruct Anomalies", BMVC 2021, and
"Synthetic Temporal Anomaly Guided End-to-End Video Anomaly Detection", ICCVW 2021): skipped frames,
and a patch pasted in. Here either happens in a part of the view, as a real event does (ours).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.anomaly.core.clip import GrayClip

    Staging = Callable[[GrayClip, np.random.Generator], GrayClip]

BOX = (0.3, 0.6)
"""Sides of the part of the view in which things hurry, as shares of the frame's."""

TRIES = 8
"""Of so many boxes that where most moves is taken: where nothing moves, nothing can hurry."""

CUT = (0.08, 0.15)
"""Sides of what is cut out, as shares of the frame's."""

ENLARGED = 2.0

SPEED = 0.02
"""Of the frame's width that a pasted thing crosses from frame to frame: ten times a walker's far
away, twice a walker's near by."""


def hurried(clip: GrayClip, random: np.random.Generator) -> GrayClip:
    """(2T, H, W) -> (T, H, W), in a box of which everything moves at twice its speed."""
    frames = len(clip) // 2
    boxes = [_box(clip, BOX, random) for _ in range(TRIES)]
    rows, columns = max(boxes, key=lambda box: _motion(clip[:, box[0], box[1]]))
    staged = clip[:frames].copy()
    staged[:, rows, columns] = clip[::2, rows, columns]
    return staged


def intruded(clip: GrayClip, random: np.random.Generator) -> GrayClip:
    """(2T, H, W) -> (T, H, W), through which a piece of the view goes, twice its size."""
    frames, (height, width) = len(clip) // 2, clip.shape[1:]
    boxes = [_box(clip, CUT, random) for _ in range(TRIES)]
    rows, columns = max(boxes, key=lambda box: _motion(clip[:, box[0], box[1]]))
    staged = clip[:frames].copy()
    pieces = [
        cv2.resize(frame[rows, columns], None, fx=ENLARGED, fy=ENLARGED) for frame in clip[:frames]
    ]
    tall, wide = pieces[0].shape
    step = SPEED * width * random.choice([-1, 1])
    # From where it stays within the view to its end.
    reach = step * (frames - 1)
    left = random.uniform(max(0, -reach), min(width - wide, width - wide - reach))
    top = int(random.integers(0, height - tall + 1))
    for n, piece in enumerate(pieces):
        start = int(np.clip(round(left + n * step), 0, width - wide))
        staged[n, top : top + tall, start : start + wide] = piece
    return staged


STAGINGS: dict[str, Staging] = {"hurried": hurried, "intruded": intruded}


def _box(
    clip: GrayClip, sides: tuple[float, float], random: np.random.Generator
) -> tuple[slice, slice]:
    places = []
    for length in clip.shape[1:]:
        side = max(2, round(length * random.uniform(*sides)))
        start = int(random.integers(0, length - side + 1))
        places.append(slice(start, start + side))
    return places[0], places[1]


def _motion(clip: GrayClip) -> float:
    """How much a part of the view changes from frame to frame."""
    return float(np.abs(np.diff(clip.astype(np.int16), axis=0)).mean())
