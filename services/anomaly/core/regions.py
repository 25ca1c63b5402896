"""An error map -> boxes, in pixels of the original frame, around what stands out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import find_objects, label

from shared.messages import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=np.int8)
"""Patches that touch at a corner belong together: a slanted limb is one region, not three."""


def abnormal_regions(
    error_map: NDArray[np.float32], *, threshold: float, width: int, height: int
) -> tuple[Box, ...]:
    """(R, K) errors -> the connected regions above the threshold, the worst first.

    width, height: of the frame before it was resized for the network, in pixels. A box's
    confidence is 1 - threshold / worst error within it (ours): 0 at the threshold, towards 1
    the farther above.
    """
    if error_map.max() <= threshold:
        return ()
    labels, _ = label(error_map > threshold, structure=EIGHT_NEIGHBOURS)
    rows, columns = error_map.shape
    boxes = []
    for number, (vertical, horizontal) in enumerate(find_objects(labels), start=1):
        patches = error_map[vertical, horizontal]
        worst = float(patches[labels[vertical, horizontal] == number].max())
        box = Box(
            x=horizontal.start * width / columns,
            y=vertical.start * height / rows,
            width=(horizontal.stop - horizontal.start) * width / columns,
            height=(vertical.stop - vertical.start) * height / rows,
            confidence=1.0 - threshold / worst,
        )
        boxes.append(box)
    return tuple(sorted(boxes, key=lambda box: box.confidence, reverse=True))
