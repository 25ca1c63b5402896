"""Recordings and a scorer -> an error for every frame, from all windows that cover it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from services.anomaly.training.footage import read_gray
from shared.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from services.anomaly.scorer import ClipErrors, Scorer
    from services.anomaly.training.footage import Recording


def window_starts(frames: int, *, clip: int, stride: int) -> list[int]:
    """Where windows of `clip` frames begin, so that every one of `frames` is covered.

    The last window ends with the last frame, however far that is from the window before.
    """
    return sorted({*range(0, frames - clip + 1, stride), frames - clip})


def scored_windows(
    scorer: Scorer, recording: Recording, *, stride: int
) -> Iterator[tuple[int, ClipErrors]]:
    """(first frame, errors) of each window. Raises Malformed (`clip_too_short`)."""
    clip = scorer.frames_per_clip
    if len(recording) < clip:
        raise Malformed(
            f"{recording.name} has {len(recording)} frames; the model takes {clip}",
            code="clip_too_short",
        )
    frames = [read_gray(path) for path in recording.frames]
    for start in window_starts(len(frames), clip=clip, stride=stride):
        yield start, scorer.score(frames[start : start + clip], recording.unwatched)


def recording_errors(scorer: Scorer, recording: Recording, *, stride: int) -> NDArray[np.float64]:
    """One error per frame: the mean over the windows that cover it.

    stride: frames between windows; that of a live camera gives what it would have seen, a smaller
    one gives smoother errors at a higher price.
    """
    total = np.zeros(len(recording))
    windows = np.zeros(len(recording))
    for start, errors in scored_windows(scorer, recording, stride=stride):
        covered = slice(start, start + scorer.frames_per_clip)
        total[covered] += errors.frame_errors
        windows[covered] += 1
    return total / windows
