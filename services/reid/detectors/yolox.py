"""Frames -> people, by any ONNX detector of the YOLOX family whose file the operator supplies.

Ge et al., "YOLOX: exceeding YOLO series in 2021" (arXiv 2107.08430). Expected is the file that the
project's own exporter writes: pixels as BGR, 0 to 255, letterboxed to the upper left corner; per
cell of three grids an offset, a log size, an objectness and the classes' scores, person first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from services.reid.detectors.detector import Findings
from shared.errors import Malformed
from shared.messages import Box

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from shared.images import Pixels
    from shared.inference import Array, Session

STRIDES = (8, 16, 32)
PAD = 114
PERSON = 5
"""Column of the first class, after four of the box and one of objectness."""


@dataclass(frozen=True, kw_only=True)
class YoloxSettings:
    """height, width: of the network's input. min_confidence: of what is reported. max_overlap: IoU
    above which the less certain of two boxes is dropped."""

    height: int = 640
    width: int = 640
    min_confidence: float = 0.1
    max_overlap: float = 0.65


class YoloxDetector:
    """Remembers nothing: the memory passes through as it came."""

    def __init__(self, session: Session, settings: YoloxSettings | None = None) -> None:
        self._session = session
        self._settings = settings or YoloxSettings()
        self._grid, self._stride = cells(self._settings.height, self._settings.width)

    def detect(
        self, frames: Sequence[Pixels], look_at: Sequence[int], memory: bytes | None
    ) -> Findings:
        """See Detector. Raises Malformed (`detector_output`) where the file is no YOLOX of the
        configured input size."""
        return Findings(tuple(self._people(frames[n]) for n in look_at), memory)

    def _people(self, frame: Pixels) -> tuple[Box, ...]:
        settings = self._settings
        blob, scale = letterbox(frame, settings.height, settings.width)
        rows = self._session(blob)[0][0]
        if rows.ndim != 2 or rows.shape[0] != len(self._grid) or rows.shape[1] <= PERSON:
            raise Malformed(
                f"the detector gave {rows.shape} for {settings.height}x{settings.width} pixels;"
                f" a YOLOX gives {len(self._grid)} rows of 5 + classes",
                code="detector_output",
            )
        confidences = rows[:, 4] * rows[:, PERSON]
        likely = confidences >= settings.min_confidence
        boxes = self._decode(rows[likely], likely) / scale
        kept = suppress(boxes, confidences[likely], settings.max_overlap)
        height, width = frame.shape[:2]
        people = (_box(boxes[n], float(confidences[likely][n]), width, height) for n in kept)
        return tuple(box for box in people if box is not None)

    def _decode(self, rows: Array, chosen: NDArray[np.bool_]) -> Array:
        """(n, 4) corners x1, y1, x2, y2 in pixels of the letterboxed input."""
        grid, stride = self._grid[chosen], self._stride[chosen]
        centre = (rows[:, :2] + grid) * stride
        half = np.exp(rows[:, 2:4]) * stride / 2
        corners: Array = np.concatenate([centre - half, centre + half], axis=1)
        return corners


def letterbox(frame: Pixels, height: int, width: int) -> tuple[Array, float]:
    """(1, 3, height, width) float32 BGR, and by how much the frame was scaled."""
    scale = min(height / frame.shape[0], width / frame.shape[1])
    size = (round(frame.shape[1] * scale), round(frame.shape[0] * scale))
    canvas = np.full((height, width, 3), PAD, np.uint8)
    canvas[: size[1], : size[0]] = cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
    bgr = canvas[..., ::-1].transpose(2, 0, 1)[None]
    return np.ascontiguousarray(bgr, dtype=np.float32), scale


def cells(height: int, width: int) -> tuple[Array, Array]:
    """Column and row of every output cell (n, 2), and the pixels between cells (n, 1)."""
    grids, strides = [], []
    for stride in STRIDES:
        rows, columns = np.mgrid[: height // stride, : width // stride]
        grids.append(np.stack([columns.ravel(), rows.ravel()], axis=1))
        strides.append(np.full((rows.size, 1), stride))
    return np.concatenate(grids).astype(np.float32), np.concatenate(strides).astype(np.float32)


def suppress(corners: Array, confidences: Array, max_overlap: float) -> list[int]:
    """Indices of the boxes that remain, surest first (greedy non-maximum suppression)."""
    boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    kept = cv2.dnn.NMSBoxes(boxes.tolist(), confidences.tolist(), 0.0, max_overlap)
    return [int(n) for n in kept]


def _box(corners: Array, confidence: float, width: int, height: int) -> Box | None:
    """Within the frame; None where nothing of it is."""
    limits = np.array([width, height, width, height], np.float32)
    x1, y1, x2, y2 = (float(value) for value in np.clip(corners, 0, limits))
    if x2 - x1 < 1.0 or y2 - y1 < 1.0:
        return None
    return Box(x=x1, y=y1, width=x2 - x1, height=y2 - y1, confidence=min(1.0, confidence))
