"""A folder of footage -> its recordings, frame files in order; a frame file -> gray pixels.

DIR/Train/CLIP/*.{jpg,png,tif}    normal footage
DIR/Test/CLIP/*                   footage with anomalies
.../CLIP/unwatched.json           [[[x, y], ...], ...], polygons as a camera's `unwatched`
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from shared.clock import frame_times
from shared.errors import Malformed, Missing
from shared.images import decode
from shared.messages import Polygon

if TYPE_CHECKING:
    from pathlib import Path

    from shared.images import Pixels

DECODED_AS_IN_SERVING = {".jpg", ".jpeg", ".png"}
UNWATCHED = "unwatched.json"
DECODED_BY_OPENCV = {".tif", ".tiff", ".bmp"}
OPENCV_FLAGS = {"gray": cv2.IMREAD_GRAYSCALE, "rgb": cv2.IMREAD_COLOR_RGB}

Part = Literal["Train", "Test"]


@dataclass(frozen=True)
class Recording:
    """One unbroken piece of footage of one camera. name: its folder's. unwatched: regions in which
    nothing counts as an anomaly. fps: frames a second; None: as many as a model learnt from."""

    name: str
    frames: tuple[Path, ...]
    unwatched: tuple[Polygon, ...] = ()
    fps: float | None = None

    def __len__(self) -> int:
        return len(self.frames)

    def captured_us(self, start: int, frames: int) -> tuple[int, ...]:
        """Since the first frame, of the frames from `start` on; none where no rate is known."""
        return () if self.fps is None else frame_times(self.fps, frames, start=start)


def recordings(folder: Path, part: Part) -> tuple[Recording, ...]:
    """The clips of one part of a data set, in the order of their names (numbers as numbers).

    UCSD's pixel masks lie beside its clips in folders named `CLIP_gt`; they are left out.
    Raises Missing (`no_footage`) where there is no clip.
    """
    found = [
        Recording(clip.name, frames, _unwatched(clip))
        for clip in sorted((folder / part).glob("*/"), key=_by_number)
        if not clip.name.endswith("_gt") and (frames := frame_files(clip))
    ]
    if not found:
        raise Missing(f"no clips of frames in {folder / part}", code="no_footage")
    return tuple(found)


def frame_files(clip: Path) -> tuple[Path, ...]:
    """The pictures of one clip, in the order of their names (numbers as numbers)."""
    known = DECODED_AS_IN_SERVING | DECODED_BY_OPENCV
    return tuple(
        sorted((file for file in clip.iterdir() if file.suffix.lower() in known), key=_by_number)
    )


def read_frame(path: Path, colour: Literal["gray", "rgb"] = "gray") -> Pixels:
    """(H, W) or (H, W, 3) uint8. Raises Malformed (`image_truncated`) for a file that holds no
    image."""
    if path.suffix.lower() in DECODED_AS_IN_SERVING:
        return decode(path.read_bytes(), colour)
    pixels = cv2.imread(str(path), OPENCV_FLAGS[colour])
    if pixels is None:
        raise Malformed(f"{path} cannot be decoded", code="image_truncated")
    return np.asarray(pixels, dtype=np.uint8)


def _unwatched(clip: Path) -> tuple[Polygon, ...]:
    file = clip / UNWATCHED
    if not file.exists():
        return ()
    try:
        return tuple(Polygon(points=points) for points in json.loads(file.read_text()))
    except ValueError as error:
        raise Malformed(f"{file} holds no polygons: {error}", code="unwatched") from error


def _by_number(path: Path) -> list[tuple[int, str]]:
    """`9.jpg` before `10.jpg`, whether or not the names are padded."""
    return [
        (int(part), "") if part.isdigit() else (-1, part)
        for part in re.split(r"(\d+)", path.name)
        if part
    ]
