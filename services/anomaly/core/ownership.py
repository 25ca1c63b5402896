"""The length of a recording -> the windows that a live camera would have had of it.

The gateway publishes a window when it is full and `stride` frames wait, and what waits at the end
when no more comes. Every window owns the frames that no window before it has owned; the rest is
context. A frame is judged once, by the window that owns it.
"""

from __future__ import annotations

from typing import NamedTuple

from shared.errors import Malformed


class OwnedWindow(NamedTuple):
    """start: its first frame in the recording. owned_from: its first owned frame in itself, as
    `ClipReady.owned_from`."""

    start: int
    owned_from: int


def owned_windows(frames: int, *, clip: int, stride: int) -> list[OwnedWindow]:
    """clip: frames of a window. stride: new frames from one to the next, 1 to clip.

    A recording shorter than a window has none: the service leaves it unscored. Raises Malformed
    (`stride`) for a stride at which frames would go unowned.
    """
    if not 1 <= stride <= clip:
        raise Malformed(f"a stride of {stride}; windows have {clip} frames", code="stride")
    if frames < clip:
        return []
    ends = [*range(clip, frames, stride), frames]
    begins = [0, *ends[:-1]]
    return [
        OwnedWindow(end - clip, owned - (end - clip))
        for owned, end in zip(begins, ends, strict=True)
    ]
