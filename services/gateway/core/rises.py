"""Stored scores -> the rises in them, each with the highest open score at which it is an alert.

What the alarm (services.gateway.core.alarm) does with a track at any open score follows from its
rises, so that a threshold is found without playing the track through it once for every candidate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from shared.clock import SECOND_US

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from services.gateway.core.alarm import AlarmRule
    from services.gateway.core.track import Track


@dataclass(frozen=True)
class _Run:
    """Loud frames (at or above the rule's close score) without a quiet one between them."""

    captured_us: npt.NDArray[np.int64]
    score: npt.NDArray[np.float64]
    strength: float


@dataclass(frozen=True)
class Rise:
    """Runs so close that an alert which opens in one of them is open until the last one's end.

    strength: the highest open score at which an alert opens. end_us: its last loud frame.
    """

    runs: tuple[_Run, ...]
    strength: float

    @property
    def start_us(self) -> int:
        return int(self.runs[0].captured_us[0])

    @property
    def end_us(self) -> int:
        return int(self.runs[-1].captured_us[-1])

    def since_us(self, open_score: float) -> int:
        """Where the alert begins that opens at this score, which is at most the strength."""
        run = next(run for run in self.runs if run.strength >= open_score)
        return int(run.captured_us[np.argmax(run.score >= open_score)])


def rises_of(track: Track, rule: AlarmRule, silence_s: float) -> list[Rise]:
    """The rises that are alerts at some open score not below the rule's close score.

    silence_s: as of services.gateway.core.replay.replay.
    """
    loud = np.flatnonzero(track.score >= rule.close_score)
    if not len(loud):
        return []
    times = track.captured_us
    gaps = np.diff(times, prepend=times[:1]) > silence_s * SECOND_US
    silences = np.diff(np.cumsum(gaps)[loud]) > 0
    before, after = loud[:-1], loud[1:]
    parted = after - before > 1
    closed = parted & (times[after - 1] - times[before] >= rule.quiet_s * SECOND_US)
    new_rise = closed | silences
    new_run = parted | new_rise
    starts = np.flatnonzero(np.concatenate([[True], new_run]))
    begins_rise = np.concatenate([[True], new_rise])[starts]
    rises: list[list[_Run]] = []
    for first, last, begins in zip(
        starts, [*starts[1:].tolist(), len(loud)], begins_rise, strict=True
    ):
        frames = loud[first:last]
        if begins:
            rises.append([])
        rises[-1].append(_run_of(times[frames], track.score[frames], rule.min_duration_s))
    made = (Rise(tuple(runs), max(run.strength for run in runs)) for runs in rises)
    return [rise for rise in made if rise.strength >= rule.close_score]


def _run_of(
    captured_us: npt.NDArray[np.int64], score: npt.NDArray[np.float64], min_duration_s: float
) -> _Run:
    """An alert opens at u where two frames at or above u lie far enough apart."""
    latest_us = captured_us - round(min_duration_s * SECOND_US)
    earlier = np.searchsorted(captured_us, latest_us, side="right")
    loudest = np.maximum.accumulate(score)
    pairs = np.minimum(loudest[earlier - 1], score)[earlier > 0]
    return _Run(captured_us, score, float(pairs.max(initial=-np.inf)))


def alerts_at(rises: Sequence[Rise], open_score: float, cooldown_s: float) -> list[list[Rise]]:
    """The alerts at an open score, each as the rises that open and reopen it."""
    alerts: list[list[Rise]] = []
    cooldown_us = cooldown_s * SECOND_US
    for rise in rises:
        if rise.strength < open_score:
            continue
        pause_us = rise.start_us - alerts[-1][-1].end_us if alerts else None
        if pause_us is not None and pause_us <= cooldown_us:
            pause_us = rise.since_us(open_score) - alerts[-1][-1].end_us
        if pause_us is not None and pause_us <= cooldown_us:
            alerts[-1].append(rise)
        else:
            alerts.append([rise])
    return alerts


def lowest_open_score(rises: Sequence[Rise], allowed: int, rule: AlarmRule) -> float:
    """The lowest open score from which on no score raises more than `allowed` alerts; at least the
    rule's close score.

    As the open score falls, rises are added one by one, so that the number of those that open is
    monotone; it bounds the number of alerts, into which the cool-down joins them. The search
    begins where the bound is met and goes down rise by rise. Between two strengths the set of
    rises stays, and a lower score only begins them earlier and joins more of them: the strengths
    themselves are all that must be tried.
    """
    strengths = sorted({rise.strength for rise in rises}, reverse=True)
    ranked = np.sort([rise.strength for rise in rises])[::-1]
    for strength in strengths:
        if np.searchsorted(-ranked, -strength, side="right") <= allowed:
            continue
        if len(alerts_at(rises, strength, rule.cooldown_s)) > allowed:
            return float(np.nextafter(strength, np.inf))
    return rule.close_score
