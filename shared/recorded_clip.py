"""A clip's frames, kept to train on: stored by the gateway, read by the anomaly service."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from shared.messages import Message

LONGEST_SIDE = 320
"""Of a recorded frame, in pixels: two and a half times what the networks see, and too few to tell
a face."""


class RecordedClip(Message):
    """captured_us: of each frame, rising. pictures: gray JPEGs, masked, of LONGEST_SIDE or less."""

    captured_us: tuple[int, ...]
    pictures: tuple[bytes, ...]

    @model_validator(mode="after")
    def _as_many(self) -> Self:
        if len(self.captured_us) != len(self.pictures):
            raise ValueError("a capture time for every picture")
        return self


def footage_of(camera_id: str, training_id: str = "") -> str:
    """The key below which a camera's recorded clips lie, or those of one training."""
    return "/".join(filter(None, ("footage", camera_id, training_id)))


def clip_key(footage: str, captured_us: int) -> str:
    """captured_us: of the clip's first frame. Keys sort by it."""
    return f"{footage}/{captured_us:020d}"


JUDGED_FRAMES = 96
"""Of a held-out clip: enough for an anomaly to be invented in its midst."""

LEAST_CLIPS = 8
"""That are held out: a contest on fewer decides nothing."""

HELD_OUT = 0.25
"""Share of the footage, its end, that nothing is learnt from."""


def least_frames(clip_length: int, held_out: float = HELD_OUT) -> int:
    """Of normal footage, to fine-tune a model of clips of T frames. What is held out must hold
    LEAST_CLIPS, and T frames before them that neither part has; the rest is windows to learn from,
    each T frames and the T that follow."""
    judged = LEAST_CLIPS * JUDGED_FRAMES + clip_length
    return -int(-judged // held_out)
