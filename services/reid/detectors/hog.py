"""A frame and a box -> how much its content looks like an upright person.

Dalal and Triggs, "Histograms of oriented gradients for human detection" (CVPR 2005), with the
weights that OpenCV ships: a linear classifier of 64x128 windows in which a person is 96 tall.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from services.reid.detectors.silhouettes import Figure
    from shared.images import Pixels

WINDOW_WIDTH, WINDOW_HEIGHT = 64, 128
PERSON_HEIGHT = 96
SLACK = 8
"""Pixels around the window, so that a box may be a little off."""


class SecondOpinion:
    """The classifier. Its weights are read once; asking it changes nothing."""

    def __init__(self) -> None:
        self._hog = cv2.HOGDescriptor()
        # OpenCV's own type stubs lack the function that returns its own weights.
        weights = cv2.HOGDescriptor_getDefaultPeopleDetector()  # type: ignore[attr-defined]
        self._hog.setSVMDetector(weights)

    def margin(self, frame: Pixels, box: Figure) -> float:
        """The best margin of nine windows around the box: above 0 surely a person, below -2 surely
        not. box: in pixels of the frame; it is enlarged to the classifier's size."""
        scale = PERSON_HEIGHT / box.height
        width, height = WINDOW_WIDTH + 2 * SLACK, WINDOW_HEIGHT + 2 * SLACK
        centre_x, centre_y = box.x + box.width / 2, box.y + box.height / 2
        to_patch = np.array(
            [[scale, 0, width / 2 - scale * centre_x], [0, scale, height / 2 - scale * centre_y]]
        )
        patch = cv2.warpAffine(frame, to_patch, (width, height), borderMode=cv2.BORDER_REPLICATE)
        _, margins = self._hog.detect(patch, hitThreshold=-100.0, winStride=(8, 8))
        return float(np.max(margins))
