"""Frames of one clip -> what the camera looks at once moving things are left out: its look.

Cheap on purpose: a few small gray frames a clip. The measures are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np

from services.anomaly.core.median import median_over_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from shared.images import Pixels

    Edges = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    Mask = NDArray[np.bool_]

WIDTH, HEIGHT = 192, 144
"""Pixels of the frames that a look is made of, whatever the camera's own size and shape."""

EDGE_WIDTH, EDGE_HEIGHT = WIDTH // 2, HEIGHT // 2
"""Pixels of the edge map that is remembered."""

COARSE_PX = 2.0
"""Standard deviation, at half that size, of the blur that leaves only coarse structure: 2 % of the
width. What it leaves survives a lens out of focus, and does not survive a hand before it."""

CELL_ROWS, CELL_COLUMNS = 3, 4
"""Parts of the view that are compared each for itself, so that a lorry hides only its own."""

HIDDEN_MARGIN = 8
"""Pixels around a mask that do not count either: a blackened region's border is an edge that
nothing can blur, cover or move."""

SAMPLED_ROWS, SAMPLED_COLUMNS = 60, 80
"""Pixels of a full frame that are compared from frame to frame, unaveraged: noise must stay."""


@dataclass(frozen=True, eq=False)
class Look:
    """What a camera shows in one clip.

    edges: (EDGE_HEIGHT, EDGE_WIDTH) square root of the gradient's magnitude, times 16. detail: mean
    gradient of what is coarse, in gray levels a pixel of the edge map. focus: gradient energy of
    the picture over that of its coarse part; light and contrast cancel out.
    """

    edges: Edges
    detail: float
    focus: float


def look_of(frames: Sequence[Pixels], hidden: Mask | None = None) -> Look | None:
    """frames: gray (H, W), spread over the clip. hidden: (HEIGHT, WIDTH), true where the camera's
    masks are. None where the masks leave nothing to look at."""
    still = median_over_time(np.stack([_small(frame) for frame in frames])[None])[0, 0]
    if hidden is None:
        fine, coarse = _gradient(still), _gradient(_coarse(still))
        return _look(np.sqrt(fine), fine, coarse)
    seen = _seen(hidden)
    seen_coarsely = seen[::2, ::2]
    if not seen_coarsely.any():
        return None
    still[~seen] = still[seen].mean()
    fine, coarse = _gradient(still), _gradient(_coarse(still))
    return _look(np.sqrt(fine) * seen, fine[seen], coarse[seen_coarsely])


def stir_of(frames: Sequence[Pixels]) -> float | None:
    """The largest mean absolute difference between neighbouring frames, in gray levels. Gray
    frames (H, W); None where there are no two of one size."""
    samples = _samples(frames)
    stirs = [
        float(cv2.norm(before, after, cv2.NORM_L1)) / before.size
        for before, after in pairwise(samples)
        if before.shape == after.shape
    ]
    return max(stirs, default=None)


def kept(usual: Edges, now: Edges, *, blur: float, floor: float) -> float | None:
    """Share of the view whose edges are where they were: mean over the cells of their correlation,
    none counted below 0. blur: standard deviation in pixels of the edge map. floor: of a cell's
    standard deviation in `usual`, under which it holds no edges and says nothing. None where fewer
    than a quarter of the cells hold any."""
    before, after = _cells(usual, blur), _cells(now, blur)
    spread = before.std(axis=1)
    telling = spread >= floor
    if telling.sum() < CELL_ROWS * CELL_COLUMNS / 4:
        return None
    before, after = _centred(before[telling]), _centred(after[telling])
    norms = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    agreement = (before * after).sum(axis=1) / np.maximum(norms, 1e-6)
    return float(np.clip(agreement, 0, 1).mean())


def _look(edges: Floats, fine: Floats, coarse: Floats) -> Look:
    small = np.asarray(_halved(edges)) * 16
    energy = max(float(np.square(coarse).mean()), 1e-6)
    return Look(
        edges=np.clip(small, 0, 255).astype(np.uint8),
        detail=float(coarse.mean()),
        focus=float(np.square(fine).mean()) / energy,
    )


def _small(frame: Pixels) -> Floats:
    """Sampled, not averaged: it costs the same for a frame of any size."""
    small = cv2.resize(frame, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    return np.asarray(small, dtype=np.float32)


def _halved(picture: Floats) -> Floats:
    small = cv2.resize(picture, (EDGE_WIDTH, EDGE_HEIGHT), interpolation=cv2.INTER_AREA)
    return np.asarray(small, dtype=np.float32)


def _coarse(picture: Floats) -> Floats:
    return np.asarray(cv2.GaussianBlur(_halved(picture), (0, 0), COARSE_PX), dtype=np.float32)


def _gradient(picture: Floats) -> Floats:
    """Magnitude of the central difference, gray levels a pixel."""
    dx = cv2.Sobel(picture, cv2.CV_32F, 1, 0, ksize=1, scale=0.5)
    dy = cv2.Sobel(picture, cv2.CV_32F, 0, 1, ksize=1, scale=0.5)
    return np.asarray(cv2.magnitude(dx, dy), dtype=np.float32)


def _seen(hidden: Mask) -> Mask:
    grown = cv2.dilate(hidden.astype(np.uint8), np.ones((2 * HIDDEN_MARGIN + 1,) * 2, np.uint8))
    return np.asarray(grown == 0, dtype=np.bool_)


def _samples(frames: Sequence[Pixels]) -> list[Pixels]:
    found = []
    for frame in frames:
        rows, columns = frame.shape[0] // SAMPLED_ROWS, frame.shape[1] // SAMPLED_COLUMNS
        found.append(np.ascontiguousarray(frame[:: max(rows, 1), :: max(columns, 1)]))
    return found


def _cells(edges: Edges, blur: float) -> Floats:
    """(cells, pixels of a cell)."""
    smooth: Floats = np.asarray(
        cv2.GaussianBlur(edges.astype(np.float32), (0, 0), blur), np.float32
    )
    rows, columns = EDGE_HEIGHT // CELL_ROWS, EDGE_WIDTH // CELL_COLUMNS
    tiles = smooth.reshape(CELL_ROWS, rows, CELL_COLUMNS, columns).swapaxes(1, 2)
    return tiles.reshape(CELL_ROWS * CELL_COLUMNS, rows * columns)


def _centred(cells: Floats) -> Floats:
    return np.asarray(cells - cells.mean(axis=1, keepdims=True), dtype=np.float32)
