"""Normal footage -> the same with anomalies that were invented, to choose settings by.

What a test set holds may not decide how a scorer is built, and normal footage alone cannot: its
errors say nothing of what an anomaly's would be. So anomalies are made of the footage itself, as
pseudo-anomalies are for training (Astrid et al., "Learning Not to Reconstruct Anomalies", 2021).
The three kinds are ours: somebody glides past, something large does, and a piece of the scene runs
at twice its speed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from services.anomaly.core.flow import Flow, FlowSize
from services.anomaly.training.footage import read_frame, recordings
from services.anomaly.training.protocols import SOURCES
from shared.errors import Conflict, Malformed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from services.anomaly.core.clip import GrayClip
    from services.anomaly.training.footage import Recording

LENGTH = 36
"""Frames that an invention lasts."""
LEAD = 8
"""Frames at the least before it begins."""
SHORTEST = LEAD + 2 * LENGTH + 2
"""Frames of footage that an invention is made in: haste uses twice its own length."""

STANDS_OUT = 25
"""Gray levels between what moves and the scene without it."""
PERSON_HEIGHT = (0.09, 0.25)
"""Of the frame's height: of what is cut out to be pasted elsewhere."""
PERSON_WIDTH = (0.02, 0.07)
"""Of the frame's width."""
LEAST_FLOW = 0.3
"""Pixels a frame from which a pixel moves, where flow is sought."""


@dataclass(frozen=True, eq=False)
class Invention:
    """kind: of INVENTORS. frames: (F, H, W). masks: (F, H, W), where the anomaly is."""

    kind: str
    frames: GrayClip
    masks: NDArray[np.bool_]


class _Cut(NamedTuple):
    """Somebody, cut out of a frame: pixels, how much each belongs to them (0 to 1), and the row of
    the frame where they begin."""

    pixels: NDArray[np.float32]
    weight: NDArray[np.float32]
    top: int


def invent(kind: str, frames: GrayClip, random: np.random.Generator) -> Invention | None:
    """(F, H, W) of normal footage, SHORTEST frames at the least -> an anomaly in it; None where the
    footage shows nobody of whom one could be made."""
    return INVENTORS[kind](frames, random)


def write_inventions(
    held_out: Sequence[Recording], folder: Path, *, each: int, seed: int
) -> tuple[int, int]:
    """Test footage for `evaluate`: `Test/CLIP-KIND-N/*.png`, its pixel masks, `labels.npy`, and
    `Test/sources.json`: what is made of one recording counts once in an interval.

    each: inventions of every kind in every recording that is long enough.
    Returns how many were made, and how many could not be. Raises Malformed (`nothing_to_invent`)
    where there is none at all, Conflict (`not_empty`) where the folder holds something.
    """
    if folder.exists() and any(folder.iterdir()):
        raise Conflict(f"{folder} is not empty; name another folder", code="not_empty")
    random = np.random.default_rng(seed)
    made, sources, missed = {}, {}, 0
    for recording in held_out:
        if len(recording) < SHORTEST:
            continue
        frames = np.stack([read_frame(path) for path in recording.frames])
        for kind, n in product(INVENTORS, range(each)):
            invention = invent(kind, frames, random)
            missed += invention is None
            if invention is not None:
                name = f"{recording.name}-{kind}-{n}"
                made[name] = invention.masks.any(axis=(1, 2))
                sources[name] = recording.name
                _write(folder / "Test" / name, invention.frames)
                _write(folder / "Test" / f"{name}_gt", invention.masks.astype(np.uint8) * 255)
    if not made:
        raise Malformed(
            f"no held-out clip has {SHORTEST} frames in which somebody walks",
            code="nothing_to_invent",
        )
    in_order = [made[clip.name] for clip in recordings(folder, "Test")]
    np.save(folder / "labels.npy", np.concatenate(in_order))
    (folder / "Test" / SOURCES).write_text(json.dumps(sources))
    return len(made), missed


def _write(folder: Path, frames: NDArray[np.uint8]) -> None:
    folder.mkdir(parents=True)
    for n, frame in enumerate(frames, start=1):
        cv2.imwrite(str(folder / f"{n:04d}.png"), frame)


def _glide(frames: GrayClip, random: np.random.Generator) -> Invention | None:
    """Somebody of this footage goes past at two to four times the usual pace."""
    cut, pace = _somebody(frames, random), _usual_pace(frames)
    if cut is None or pace is None:
        return None
    return _pasted("glide", frames, cut, pace * random.uniform(2.0, 4.0), random)


def _bulk(frames: GrayClip, random: np.random.Generator) -> Invention | None:
    """Somebody twice as broad as anyone goes past, a little faster than usual."""
    cut, pace = _somebody(frames, random), _usual_pace(frames)
    if cut is None or pace is None:
        return None
    broader, taller = random.uniform(1.8, 2.6), random.uniform(0.9, 1.2)
    pixels, weight = (
        np.asarray(cv2.resize(one, None, fx=broader, fy=taller), np.float32)
        for one in (cut.pixels, cut.weight)
    )
    wide = _Cut(pixels, weight, cut.top)
    return _pasted("bulk", frames, wide, pace * random.uniform(1.3, 3.0), random)


def _haste(frames: GrayClip, random: np.random.Generator) -> Invention | None:
    """The liveliest piece of the scene runs at twice its speed."""
    start = int(random.integers(LEAD, len(frames) - 2 * LENGTH))
    taken = frames[start : start + 2 * LENGTH]
    height, width = frames.shape[1:]
    lively = np.abs(np.diff(taken.astype(np.int16), axis=0)).mean(axis=0).astype(np.float32)
    if not (lively > 1.0).any():
        return None
    smooth = cv2.blur(lively, (width // 6, height // 4))
    row, column = np.unravel_index(int(smooth.argmax()), smooth.shape)
    rows = slice(max(row - height // 6, 0), row + height // 6)
    columns = slice(max(column - width // 8, 0), column + width // 8)
    changed, masks = frames[: start + LENGTH].copy(), np.zeros(frames.shape, np.bool_)
    changed[start:, rows, columns] = taken[::2, rows, columns]
    masks[start : start + LENGTH, rows, columns] = True
    return Invention("haste", changed, masks[: len(changed)])


INVENTORS: dict[str, Callable[[GrayClip, np.random.Generator], Invention | None]] = {
    "glide": _glide,
    "bulk": _bulk,
    "haste": _haste,
}


def _somebody(frames: GrayClip, random: np.random.Generator, *, tries: int = 50) -> _Cut | None:
    """One who stands apart from others, out of any frame."""
    empty = np.median(frames[:: max(1, len(frames) // 30)], axis=0)
    height, width = frames.shape[1:]
    for _ in range(tries):
        frame = frames[random.integers(len(frames))].astype(np.float32)
        moving = (np.abs(frame - empty) > STANDS_OUT).astype(np.uint8)
        moving = cv2.morphologyEx(moving, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
        _, labels, boxes, _ = cv2.connectedComponentsWithStats(moving)
        fitting = [
            n
            for n, (_, _, across, high, area) in enumerate(boxes)
            if PERSON_HEIGHT[0] <= high / height <= PERSON_HEIGHT[1]
            and PERSON_WIDTH[0] <= across / width <= PERSON_WIDTH[1]
            and area > 0.4 * across * high
        ]
        if fitting:
            chosen = int(random.choice(fitting))
            left, top, across, high, _ = boxes[chosen]
            rows = slice(max(top - 2, 0), top + high + 2)
            columns = slice(max(left - 2, 0), left + across + 2)
            own = cv2.dilate((labels[rows, columns] == chosen).astype(np.float32), np.ones((3, 3)))
            weight = np.asarray(cv2.GaussianBlur(own, (0, 0), 1.0), np.float32)
            return _Cut(frame[rows, columns], weight, rows.start)
    return None


def _usual_pace(frames: GrayClip) -> float | None:
    """Pixels a frame, across: the median of what moves between a dozen pairs of frames."""
    size = FlowSize()
    pairs = (frames[n : n + 2] for n in range(0, 2 * LENGTH, 6))
    found = [Flow(list(pair)).at(size)[0] for pair in pairs]
    speeds = np.hypot(*np.moveaxis(np.stack(found), -1, 0))
    moving = speeds[speeds > LEAST_FLOW]
    return float(np.median(moving)) * frames.shape[2] / size.width if len(moving) else None


def _pasted(
    kind: str, frames: GrayClip, cut: _Cut, pace: float, random: np.random.Generator
) -> Invention:
    """From one side toward the other, as far as it gets."""
    height, width = frames.shape[1:]
    high, across = cut.pixels.shape
    changed, masks = frames.copy(), np.zeros(frames.shape, np.bool_)
    start = int(random.integers(LEAD, len(frames) - LENGTH))
    top = min(cut.top, height - high)
    left = random.uniform(0.0, max(width - across - pace * LENGTH, 1.0))
    places = np.rint(left + pace * np.arange(LENGTH)).astype(int)
    if random.random() < 0.5:
        places = places[::-1]
    for frame, mask, place in zip(changed[start:], masks[start:], places, strict=False):
        if 0 <= place <= width - across:
            window = np.s_[top : top + high, place : place + across]
            mixed = frame[window] * (1.0 - cut.weight) + cut.pixels * cut.weight
            frame[window] = np.rint(mixed).astype(np.uint8)
            mask[window] = cut.weight > 0.5
    return Invention(kind, changed, masks)
