"""Images -> one picture to look at: rows and columns of samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

GAP = 2
PAPER = 255
LEAST_SIDE = 48
"""Small samples are shown larger, by a whole factor."""


def draw_sheet(images: NDArray[np.uint8], path: Path, *, columns: int) -> None:
    """images: (N, C, H, W), row by row. Writes a PNG."""
    count, channels, height, width = images.shape
    rows = -(-count // columns)
    room = np.full(
        (rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, channels), PAPER, np.uint8
    )
    for number, image in enumerate(images):
        top, left = (number // columns) * (height + GAP), (number % columns) * (width + GAP)
        room[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    factor = max(1, round(LEAST_SIDE / height))
    sheet = Image.fromarray(room.squeeze() if channels == 1 else room)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.resize((sheet.width * factor, sheet.height * factor), Image.Resampling.NEAREST).save(path)
