"""A simulated street whose errors follow the hour: false alarms and events, with and without hours.

Nothing of it was used to choose a constant.
"""

from __future__ import annotations

import numpy as np

from services.gateway.core.alarm import AlarmRule
from services.gateway.core.baseline import Baseline
from services.gateway.core.replay import replay
from services.gateway.core.track import Track
from shared.messages import Prior

PRIOR = Prior(q50=0.01, q95=0.015, q99=0.02, q999=0.03)
RULE = AlarmRule(open_score=1.2, close_score=0.6)
DAY_S = 86_400
SILENCE_S = 20.0


def day(number: int, seed: int, events: tuple[tuple[int, float], ...] = ()) -> Track:
    """A day at one frame a second. Errors are lognormal and last some seconds; around 8 and 18
    o'clock they are three times those of the night. events: a second of the day, and how many
    times the error is what is usual then, for half a minute."""
    rng = np.random.default_rng(1_000 * seed + number)
    seconds = np.arange(DAY_S)
    hour = seconds / 3600
    rush = sum(np.exp(-0.5 * ((hour - peak) / 1.2) ** 2) for peak in (8.0, 18.0))
    white = rng.normal(size=DAY_S + 4)
    noise = 0.3 * sum(white[lag : lag + DAY_S] for lag in range(5)) / np.sqrt(5)
    error = 0.01 * (1 + 2 * rush) * np.exp(noise)
    for second, times in events:
        error[second : second + 30] = times * 0.01 * (1 + 2 * rush[second])
    captured_us = (number * DAY_S + seconds) * 1_000_000
    return Track(captured_us.astype(np.int64), error, np.zeros(DAY_S))


def hour_of(captured_us: int) -> int:
    return captured_us // 1_000_000 // 3600 % 24


NIGHT, RUSH = 3 * 3600 + 900, 8 * 3600 + 900
EVENTS = ((NIGHT, 4.0), (RUSH, 4.0))
LEARNT_DAYS, JUDGED_DAYS = 7, 2


def judged(seed: int, *, by_hour: bool) -> tuple[int, list[int]]:
    """False alerts of two days after a week of learning, and the seconds of the events found."""
    baseline = Baseline()
    for number in range(LEARNT_DAYS):
        track = day(number, seed)
        baseline.absorb(track.error, track.hours(hour_of) if by_hour else ())
    false, found = 0, []
    for number in range(LEARNT_DAYS, LEARNT_DAYS + JUDGED_DAYS):
        track = day(number, seed, EVENTS)
        raised = replay(track.scored_by(baseline, PRIOR, track.hours(hour_of)), RULE, SILENCE_S)
        spans = {
            second: tuple((number * DAY_S + second + at) * 1_000_000 for at in (0, 30))
            for second, _ in EVENTS
        }
        found += [s for s, span in spans.items() if any(a.overlaps(*span) for a in raised)]
        false += sum(not any(a.overlaps(*span) for span in spans.values()) for a in raised)
    return false, found


def test_with_hours_false_alarms_fall_and_an_event_at_night_is_found():
    whole = [judged(seed, by_hour=False) for seed in range(4)]
    hours = [judged(seed, by_hour=True) for seed in range(4)]
    print("false alerts, events found: whole", whole, "by the hour", hours)
    assert sum(false for false, _ in hours) < 0.5 * sum(false for false, _ in whole)
    assert all(sorted(found) == sorted(2 * [NIGHT, RUSH]) for _, found in hours)
    missed = [NIGHT not in found for _, found in whole]
    assert sum(missed) >= 3, "by a scale for the whole day the event at night is as usual at 8"
