"""Recordings and a scorer -> the errors of their windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.anomaly.scorer import NOT_FINITE, View
from services.anomaly.training.footage import read_frame
from shared.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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
    """(first frame, errors) of windows that cover a recording. Raises Malformed
    (`clip_too_short`)."""
    refuse_short(scorer, recording)
    starts = window_starts(len(recording), clip=scorer.frames_per_clip, stride=stride)
    return score_at(scorer, recording, starts)


def score_at(
    scorer: Scorer, recording: Recording, starts: Iterable[int]
) -> Iterator[tuple[int, ClipErrors]]:
    """(first frame, errors) of the windows that begin at these frames.

    Raises Malformed (`score_not_finite`) where a model's errors are no numbers.
    """
    frames = [read_frame(path, scorer.decodes) for path in recording.frames]
    for start in starts:
        window = frames[start : start + scorer.frames_per_clip]
        captured_us = recording.captured_us(start, len(window))
        (errors,) = scorer.score_batch([View(window, recording.unwatched, captured_us)])
        if not errors.is_finite:
            raise Malformed(
                f"{recording.name}: errors of the window at {start} are no numbers", code=NOT_FINITE
            )
        yield start, errors


def refuse_short(scorer: Scorer, recording: Recording) -> None:
    """Raises Malformed (`clip_too_short`) for a recording that is shorter than a window."""
    if len(recording) < scorer.frames_per_clip:
        raise Malformed(
            f"{recording.name} has {len(recording)} frames; the model takes"
            f" {scorer.frames_per_clip}",
            code="clip_too_short",
        )
