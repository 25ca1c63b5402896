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
class Rise:
    """Runs of loud frames (at or above the rule's close score) so close to each other that an alert
    which opens in one of them is open until the last one's end.

    start_us, end_us: the first and the last loud frame. strength: the highest open score at which
    an alert opens. runs: those in which one can, each as its times, scores and own strength.
    """

    start_us: int
    end_us: int
    strength: float
    runs: tuple[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], float], ...]

    def since_us(self, open_score: float) -> int:
        """Where the alert begins that opens at this score, which is at most the strength."""
        captured_us, score = next(
            (captured_us, score)
            for captured_us, score, strength in self.runs
            if strength >= open_score
        )
        return int(captured_us[np.argmax(score >= open_score)])


def rises_of(track: Track, rule: AlarmRule, silence_s: float) -> list[Rise]:
    """The rises that are alerts at some open score not below the rule's close score.

    silence_s: as of services.gateway.core.replay.replay.
    """
    loud = np.flatnonzero(track.score >= rule.close_score)
    if not len(loud):
        return []
    times, scores = track.captured_us[loud], track.score[loud]
    run_starts, first_runs = _parted(track, loud, rule.quiet_s, silence_s)
    run_ends = np.append(run_starts[1:], len(loud))
    run_strengths = _strengths(times, scores, run_starts, rule.min_duration_s)
    last_runs = np.append(first_runs[1:], len(run_starts))
    strengths = np.maximum.reduceat(run_strengths, first_runs)
    rises = []
    for rise in np.flatnonzero(strengths >= rule.close_score).tolist():
        first, last = int(first_runs[rise]), int(last_runs[rise])
        runs = [
            (times[start:end], scores[start:end], float(strength))
            for start, end, strength in zip(
                run_starts[first:last],
                run_ends[first:last],
                run_strengths[first:last],
                strict=True,
            )
            if strength >= rule.close_score
        ]
        start_us, end_us = int(times[run_starts[first]]), int(times[run_ends[last - 1] - 1])
        rises.append(Rise(start_us, end_us, float(strengths[rise]), tuple(runs)))
    return rises


def _parted(
    track: Track, loud: npt.NDArray[np.intp], quiet_s: float, silence_s: float
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Where among the loud frames a run begins, and which of the runs begin a rise."""
    times = track.captured_us
    gaps = np.diff(times, prepend=times[:1]) > silence_s * SECOND_US
    silent = np.diff(np.cumsum(gaps)[loud]) > 0
    before, after = loud[:-1], loud[1:]
    new_run = after - before > 1
    new_rise = new_run & (times[after - 1] - times[before] >= quiet_s * SECOND_US) | silent
    run_starts = np.flatnonzero(np.append(True, new_run | silent))
    return run_starts, np.flatnonzero(np.append(True, new_rise)[run_starts])


def _strengths(
    times: npt.NDArray[np.int64],
    scores: npt.NDArray[np.float64],
    run_starts: npt.NDArray[np.intp],
    min_duration_s: float,
) -> npt.NDArray[np.float64]:
    """Of each run: an alert opens at u where two frames at or above u lie far enough apart."""
    count = len(scores)
    lengths = np.diff(run_starts, append=count)
    run = np.repeat(np.arange(len(run_starts)), lengths)
    # The loudest so far, run by run in one pass: ranks of a later run are above all of an earlier.
    ranked = np.sort(scores)
    ranks = np.searchsorted(ranked, scores)
    loudest = ranked[np.maximum.accumulate(run * count + ranks) - run * count]
    latest_us = times - round(min_duration_s * SECOND_US)
    earlier = np.searchsorted(times, latest_us, side="right")
    earlier = np.minimum(earlier, (run_starts + lengths)[run])
    pairs = np.minimum(loudest[earlier - 1], scores)
    pairs[earlier <= run_starts[run]] = -np.inf
    strengths: npt.NDArray[np.float64] = np.maximum.reduceat(pairs, run_starts)
    return strengths


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
