"""The life of a camera's training, and how much footage it takes."""

from __future__ import annotations

import math
from enum import StrEnum

from shared.recorded_clip import least_frames


class TrainingState(StrEnum):
    RECORDING = "recording"
    """Clips of the camera that are normal are kept as they come in."""
    RECORDED = "recorded"
    """All are there; the job is about to be asked for."""
    TRAINING = "training"
    """The anomaly service has the job."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in (TrainingState.SUCCEEDED, TrainingState.FAILED, TrainingState.CANCELLED)


UNDER_WAY = tuple(state for state in TrainingState if not state.is_final)


def frames_in(minutes: float, fps: float) -> int:
    return math.floor(minutes * 60 * fps)


def least_minutes(clip_length: int, fps: float) -> float:
    """Below, nothing could be learnt, or not be judged. fps: of the camera's analysis."""
    return least_frames(clip_length) / fps / 60
