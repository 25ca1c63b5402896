"""Stored scores and a rule -> the alerts that the rule would have raised"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from services.gateway.core.alarm import Alarm, Phase, Turn, fall_silent, hear, severity_of
from shared.clock import SECOND_US

if TYPE_CHECKING:
    from services.gateway.core.alarm import AlarmRule, Severity
    from services.gateway.core.track import Track


@dataclass(frozen=True)
class Raised:
    """An alert as it would have been: times of the camera, the end is its last loud frame."""

    start_us: int
    end_us: int
    peak_us: int
    peak_score: float

    @property
    def severity(self) -> Severity:
        return severity_of(self.peak_score, learning=False)

    def overlaps(self, start_us: int, end_us: int | None) -> bool:
        """end_us: None where that has not ended."""
        return self.start_us <= (self.end_us if end_us is None else end_us) and (
            start_us <= self.end_us
        )


def replay(track: Track, rule: AlarmRule, silence_s: float) -> list[Raised]:
    """Plays a track through the alarm of live cameras, as if its baseline had always stood.

    silence_s: frames that are further apart find what was open closed.
    """
    times, scores = track.captured_us, track.score
    opening = np.flatnonzero(scores >= rule.open_score)
    alarm, raised, n = Alarm(), list[Raised](), 0
    while n < len(track):
        if alarm.phase is Phase.QUIET:
            # A quiet alarm hears nothing below the score at which it opens.
            following = np.searchsorted(opening, n)
            if following == len(opening):
                break
            n = int(opening[following])
        at, score = int(times[n]), float(scores[n])
        if n and at - int(times[n - 1]) > silence_s * SECOND_US:
            alarm = fall_silent(alarm)
        alarm, turn = hear(alarm, at, score, rule, learning=False)
        if turn is Turn.OPENED:
            raised.append(Raised(alarm.since_us, at, alarm.peak_us, alarm.peak_score))
        elif alarm.phase is Phase.OPEN:
            raised[-1] = _grown(raised[-1], alarm)
        n += 1
    return raised


def _grown(alert: Raised, alarm: Alarm) -> Raised:
    """The alert with what its alarm has heard since. A second rise may be lower than the first."""
    alert = replace(alert, end_us=alarm.loud_us)
    if alarm.peak_score <= alert.peak_score:
        return alert
    return replace(alert, peak_us=alarm.peak_us, peak_score=alarm.peak_score)
