"""A camera's normal footage and an alert budget -> the score at which its alerts open.

The constants are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from services.gateway.core.rises import alerts_at, lowest_open_score, rises_of
from services.gateway.core.tail import CONFIDENCE, level_exceeded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.gateway.core.alarm import AlarmRule
    from services.gateway.core.rises import Rise
    from services.gateway.core.track import Track

COUNTED_ALERTS = 5
"""Alerts that the budget must allow in the footage for them to be counted: below, chance decides
whether there was one more, and the tail of the events says more than their number."""

TAIL_EVENTS = 50
"""The tail is fitted to the strongest events, at most so many."""

LEAST_EVENTS = 3
"""With fewer events nothing is said about their tail."""


class Method(StrEnum):
    """How a threshold was found."""

    COUNTED = "counted"
    """The footage is long: the lowest score that keeps the budget in it."""
    EXTRAPOLATED = "extrapolated"
    """The footage is short: the score that the fitted tail of its events exceeds at the budget's
    rate, and no less than what keeps the budget in the footage."""
    KEPT = "kept"
    """The footage is short and nearly without events, which proves little: the rule's score, or,
    where that is higher, what keeps the budget in the footage."""


@dataclass(frozen=True)
class Threshold:
    """open_score with its interval of 90 %: where it might as well have been, by chance (None:
    nobody knows)."""

    open_score: float
    low: float | None
    high: float | None
    method: Method


def threshold_for(
    track: Track,
    rule: AlarmRule,
    budget_per_day: float,
    silence_s: float,
) -> Threshold:
    """The lowest open score that would have raised at most budget x days alerts in the track.

    rule: all but its open score is kept. silence_s: as of services.gateway.core.replay.replay.
    """
    rises = rises_of(track, rule, silence_s)
    allowed = budget_per_day * track.days
    counted = lowest_open_score(rises, math.floor(allowed), rule)
    if allowed >= COUNTED_ALERTS:
        return Threshold(counted, *_counted_interval(rises, allowed, rule), Method.COUNTED)
    above = lowest_open_score(rises, TAIL_EVENTS, rule)
    events = alerts_at(rises, above, rule.cooldown_s)
    if len(events) < LEAST_EVENTS:
        return Threshold(max(counted, rule.open_score), None, None, Method.KEPT)
    peaks = np.asarray([max(rise.strength for rise in event) for event in events])
    level = level_exceeded(peaks, above, track.days, budget_per_day)
    return Threshold(
        max(counted, level.value),
        level.low,
        max(counted, level.high),
        Method.EXTRAPOLATED,
    )


def _counted_interval(
    rises: Sequence[Rise], allowed: float, rule: AlarmRule
) -> tuple[float, float]:
    """Thresholds for as many more or fewer alerts as a Poisson count differs by chance."""
    from scipy.stats import poisson  # slow to import, see services.gateway.core.tail

    fewest, most = poisson.ppf([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], allowed)
    return lowest_open_score(rises, int(most), rule), lowest_open_score(rises, int(fewest), rule)
