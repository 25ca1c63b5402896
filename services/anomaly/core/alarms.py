"""Frame errors against a threshold -> the alarms they would raise, and how many were right.

AUC counts frames; whoever answers alarms counts events. Both figures come from one threshold, so
they tell what a camera would cost in false alarms for what it finds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from services.anomaly.core.evaluation import Errors, Labels, ScoredVideo


class Span(NamedTuple):
    """Frames `start` up to, not including, `stop`."""

    start: int
    stop: int

    def overlaps(self, other: Span) -> bool:
        return self.start < other.stop and other.start < self.stop


@dataclass(frozen=True)
class AlarmCount:
    """events: abnormal spans of the ground truth; found: those that an alarm overlaps.
    false_alarms: alarms that overlap none. frames: looked at, normal and abnormal."""

    events: int
    found: int
    false_alarms: int
    frames: int

    @property
    def recall(self) -> float:
        return self.found / self.events if self.events else float("nan")

    def false_alarms_per_hour(self, fps: float) -> float:
        """fps: of the footage that was scored."""
        return self.false_alarms / (self.frames / fps / 3600)


def count_alarms(videos: Iterable[ScoredVideo], *, threshold: float, merge_gap: int) -> AlarmCount:
    """merge_gap: alarms less than this many frames apart are one alarm (ours)."""
    events = found = false_alarms = frames = 0
    for video in videos:
        alarms = alarm_spans(video.errors, threshold=threshold, merge_gap=merge_gap)
        truth = true_spans(video.abnormal)
        events += len(truth)
        found += sum(any(alarm.overlaps(event) for alarm in alarms) for event in truth)
        false_alarms += sum(not any(alarm.overlaps(event) for event in truth) for alarm in alarms)
        frames += len(video.errors)
    return AlarmCount(events, found, false_alarms, frames)


def alarm_spans(errors: Errors, *, threshold: float, merge_gap: int) -> list[Span]:
    """The runs of frames above the threshold, near ones merged."""
    merged: list[Span] = []
    for span in true_spans(np.asarray(errors) > threshold):
        if merged and span.start - merged[-1].stop < merge_gap:
            merged[-1] = Span(merged[-1].start, span.stop)
        else:
            merged.append(span)
    return merged


def true_spans(flags: Labels) -> list[Span]:
    """The runs of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [Span(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
