"""The contract of person detectors: a clip's frames and a camera's memory in, boxes and memory out.

Workers hold nothing between clips, so whatever a detector must remember of a camera goes out as
bytes and comes in again with that camera's next clip, in whichever process takes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.images import Pixels
    from shared.messages import Box


@dataclass(frozen=True)
class Findings:
    """What a detector saw in one clip.

    boxes: the people of each frame that was to be looked at, in that order, in that frame's pixels.
    memory: to be handed in with the camera's next clip (None: the detector remembers nothing).
    """

    boxes: tuple[tuple[Box, ...], ...]
    memory: bytes | None


class Detector(Protocol):
    """Safe to share between threads: all that differs between cameras is in the memory."""

    def detect(
        self, frames: Sequence[Pixels], look_at: Sequence[int], memory: bytes | None
    ) -> Findings:
        """Finds people.

        frames: (H, W, 3) rgb, the clip's owned frames in the order of capture: the memory is
        brought up to date with all of them. look_at: indices of those in which people are
        wanted. memory: what this camera's last clip gave, or None at its first; memory that
        cannot be read is treated as none.
        """
        ...
