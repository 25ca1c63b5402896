"""Frames in which nothing was unusual -> which of them to keep, and which is most like another one.

An alert's frame says little to somebody who does not know the camera. Beside it stands the frame
that was most like it when all was quiet. The rules and constants here are ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from shared.clock import SECOND_US

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from shared.images import Pixels
    from shared.messages import Box

RECENT = 8
"""Newest frames that are kept of a camera, beside one for each hour of its day: the light of the
hour, and the weather and the parked cars of these minutes."""

EVERY_S = 60.0
"""Seconds of the camera from one kept frame to the next."""

HOUR_S = 3600.0

ROWS, COLUMNS = 48, 64
"""Size of a thumbnail: a person is a few of its pixels, and noise is none."""

LEAST_SHOWN = 0.1
"""Share of a frame outside its abnormal regions from which the comparison is left to that part."""

Thumbnail = np.ndarray[tuple[int, int], np.dtype[np.uint8]]
"""ROWS x COLUMNS gray pixels."""


class Likeness(NamedTuple):
    """The frame of a slot that is most like another one. difference: mean absolute difference of
    their gray pixels, 0 to 1, outside of what is abnormal."""

    slot: str
    difference: float


def is_due(captured_us: int, last_us: int | None) -> bool:
    """Whether another frame is to be kept; a clock that was set back starts anew."""
    return last_us is None or abs(captured_us - last_us) >= EVERY_S * SECOND_US


def slots_for(captured_us: int, hour: int, kept: Mapping[str, int]) -> tuple[str, ...]:
    """Where a frame goes: in the place of the oldest of the recent ones, and once in every hour
    into the hour's.

    hour: of the camera's day, 0 to 23. kept: capture times of the frames that are kept, by slot.
    """
    recent = [f"recent-{n}" for n in range(RECENT)]
    # What lies in the future is from before the clock was set back, and would stay for ever.
    oldest = min(recent, key=lambda slot: (kept.get(slot, 0) <= captured_us, kept.get(slot, 0)))
    free = next((slot for slot in recent if slot not in kept), oldest)
    hourly = f"hour-{hour:02}"
    is_new_hour = hourly not in kept or abs(captured_us - kept[hourly]) >= HOUR_S * SECOND_US
    return (free, hourly) if is_new_hour else (free,)


def thumbnail_of(frame: Pixels) -> Thumbnail:
    """(H, W) gray or (H, W, 3) rgb, of any size -> its thumbnail."""
    small = Image.fromarray(frame).convert("L").resize((COLUMNS, ROWS), Image.Resampling.BOX)
    return np.asarray(small)


def outside(regions: Sequence[Box], width: int, height: int) -> NDArray[np.bool_]:
    """(ROWS, COLUMNS): true where no region is; everywhere, where they leave next to nothing.

    width, height: of the frame whose pixels the regions count.
    """
    shown = np.ones((ROWS, COLUMNS), np.bool_)
    across, down = COLUMNS / width, ROWS / height
    for box in regions:
        top, left = max(0, int(box.y * down)), max(0, int(box.x * across))
        bottom, right = np.ceil((box.y + box.height) * down), np.ceil((box.x + box.width) * across)
        shown[top : int(bottom), left : int(right)] = False
    return shown if shown.mean() >= LEAST_SHOWN else np.ones_like(shown)


def nearest(
    thumbnail: Thumbnail, shown: NDArray[np.bool_], kept: Mapping[str, Thumbnail]
) -> Likeness | None:
    """The most alike of the kept frames where `shown` is true; None where none is kept."""
    wanted = thumbnail[shown].astype(np.float32)
    likenesses = [
        Likeness(slot, float(np.abs(other[shown] - wanted).mean()) / 255)
        for slot, other in kept.items()
    ]
    return min(likenesses, key=lambda likeness: likeness.difference, default=None)
