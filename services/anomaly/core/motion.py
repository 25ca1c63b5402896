"""The flow of a clip -> how fast each place moves, and how large what moves there is.

Reiss and Hoshen ("Attribute-based Representations for Accurate and Interpretable Video Anomaly
Detection", 2022) find that the velocity of a thing tells most of what is abnormal on a walkway.
They take boxes from a detector and flow from a network; here dense inverse search gives the flow,
and a grid of overlapping cells stands in for the boxes (ours).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt

from services.anomaly.core.flow import FlowSize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.anomaly.core.flow import Flow

Traits = np.ndarray[tuple[int, int], np.dtype[np.float32]]
"""One row per place where something moves: logarithm of the speed, and the share of the
surroundings that moves too (0 to 1)."""


class MotionSettings(FlowSize):
    """cell: side of a cell, in pixels; cells overlap by half. least_speed: pixels
    an interval from which a pixel moves. least_share: of a cell's pixels that must move for it to
    count. surroundings: cells on a side of the box in which the moving share tells a large thing
    from a small one. All of it is ours."""

    cell: PositiveInt = 16
    least_speed: PositiveFloat = 0.5
    least_share: float = Field(default=0.25, gt=0, le=1)
    surroundings: PositiveInt = 3

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        half = self.cell // 2
        return self.height // half - 1, self.width // half - 1


class Motion(NamedTuple):
    """What moves in a clip. moves: (T, rows, columns), where enough does. traits: of those places,
    in that order."""

    moves: NDArray[np.bool_]
    traits: Traits

    def spread(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """One value per row of `traits` -> (T, rows, columns); 0 where nothing moves."""
        maps = np.zeros(self.moves.shape, np.float32)
        maps[self.moves] = values
        return maps


def motion_of(flow: Flow, settings: MotionSettings) -> Motion:
    """The motion of all frames of a clip. The first frame has that of the second, for nothing comes
    before it."""
    found = [_cells(np.hypot(one[..., 0], one[..., 1]), settings) for one in flow.at(settings)]
    traits, moves = (np.stack([each[0], *each]) for each in zip(*found, strict=True))
    return Motion(moves, traits[moves])


def _cells(
    speed: NDArray[np.float32], settings: MotionSettings
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(H, W) -> (rows, columns, 2) traits, (rows, columns) whether enough moves there."""
    side, half = settings.cell, settings.cell // 2
    # A median takes away lone pixels: no person is so small.
    moving = cv2.medianBlur((speed > settings.least_speed).astype(np.uint8), 5).astype(np.float32)
    share = cv2.blur(moving, (side, side))
    pace = cv2.blur(speed * moving, (side, side)) / np.maximum(share, settings.least_share / 4)
    around = cv2.blur(moving, (settings.surroundings * side, settings.surroundings * side))
    rows, columns = settings.grid
    centres = np.s_[half::half, half::half]
    # Slow walkers differ by less than fast ones do; the half keeps the slowest from running apart.
    traits = np.stack([np.log(pace + settings.least_speed / 2), around], axis=-1)[centres]
    return traits[:rows, :columns], (share[centres] > settings.least_share)[:rows, :columns]
