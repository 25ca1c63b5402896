"""A threshold keeps its budget, and no lower one does: against the alarm itself, played through."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.core.alarm import Alarm, AlarmRule, Turn, fall_silent, hear
from services.gateway.core.budget import Method, threshold_for
from services.gateway.core.replay import replay
from services.gateway.core.rises import alerts_at, lowest_open_score, rises_of
from services.gateway.core.tail import level_exceeded
from services.gateway.core.track import Track

SECOND = 1_000_000
SILENCE_S = 20.0


def track_of(scores, interval_s=0.2, times_s=None) -> Track:
    times = np.arange(len(scores)) * interval_s if times_s is None else np.asarray(times_s)
    score = np.asarray(scores, np.float64)
    return Track((times * SECOND).astype(np.int64), score, score)


def played(track: Track, rule: AlarmRule):
    """Every frame through the alarm: what replay must be equal to."""
    alarm, turns, last = Alarm(), [], None
    for at, score in zip(track.captured_us.tolist(), track.score.tolist(), strict=True):
        if last is not None and at - last > SILENCE_S * SECOND:
            alarm = fall_silent(alarm)
        alarm, turn = hear(alarm, at, score, rule, learning=False)
        turns += [(alarm.since_us, turn)] if turn is Turn.OPENED else []
        last = at
    return [since for since, _ in turns]


rules = st.builds(
    AlarmRule,
    open_score=st.just(0.5),
    close_score=st.sampled_from([0.1, 0.3, 0.45]),
    min_duration_s=st.sampled_from([0.0, 0.2, 0.6]),
    quiet_s=st.sampled_from([0.0, 0.4, 1.0]),
    cooldown_s=st.sampled_from([0.0, 1.0, 3.0]),
)
levels = st.sampled_from([0.0, 0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0, 1.3])
pauses = st.sampled_from([0.2, 0.2, 0.2, 0.2, 1.0, 5.0, 25.0])


@st.composite
def tracks(draw) -> Track:
    """Frames at uneven times whose scores move in steps, so that runs, dips and ties occur."""
    stretches = draw(st.lists(st.tuples(levels, st.integers(1, 6), pauses), max_size=25))
    scores, times, now = [], [], 0.0
    for level, frames, pause in stretches:
        for n in range(frames):
            scores.append(level)
            times.append(now)
            now += pause if n == frames - 1 else 0.2
    return track_of(scores, times_s=times)


@given(tracks(), rules, levels.filter(lambda level: level > 0.45))
def test_a_replay_raises_what_the_alarm_raises(track, rule, open_score):
    rule = rule.model_copy(update={"open_score": open_score})
    raised = replay(track, rule, SILENCE_S)
    assert [alert.start_us for alert in raised] == played(track, rule)
    assert all(alert.start_us <= alert.peak_us <= alert.end_us for alert in raised)


@given(tracks(), rules, levels.filter(lambda level: level > 0.45))
def test_the_rises_say_what_a_replay_raises_at_any_open_score(track, rule, open_score):
    rule = rule.model_copy(update={"open_score": open_score})
    alerts = alerts_at(rises_of(track, rule, SILENCE_S), open_score, rule.cooldown_s)
    raised = replay(track, rule, SILENCE_S)
    assert [(a[0].since_us(open_score), a[-1].end_us) for a in alerts] == [
        (alert.start_us, alert.end_us) for alert in raised
    ]


@given(tracks(), rules, st.integers(0, 4))
def test_the_lowest_open_score_keeps_the_budget_and_what_lies_below_it_does_not(
    track, rule, allowed
):
    found = lowest_open_score(rises_of(track, rule, SILENCE_S), allowed, rule)

    def raised(open_score):
        return len(replay(track, rule.model_copy(update={"open_score": open_score}), SILENCE_S))

    above = {found, *(score for score in set(track.score.tolist()) if score >= found)}
    assert max(raised(score) for score in above) <= allowed
    assert found == rule.close_score or raised(np.nextafter(found, 0)) > allowed


@given(tracks(), rules, st.integers(0, 4))
def test_a_larger_budget_never_asks_for_a_higher_score(track, rule, allowed):
    rises = rises_of(track, rule, SILENCE_S)
    assert lowest_open_score(rises, allowed + 1, rule) <= lowest_open_score(rises, allowed, rule)


RULE = AlarmRule(open_score=0.5, close_score=0.3)


def street(days: float, seed: int, events_per_day: float = 200.0) -> Track:
    """A frame a second, quiet but for bursts of ten seconds whose peaks are exponential."""
    rng = np.random.default_rng(seed)
    frames = int(days * 86_400)
    score = rng.uniform(-0.2, 0.2, frames)
    for at in rng.integers(0, frames - 10, rng.poisson(events_per_day * days)):
        score[at : at + 10] = 0.3 + rng.exponential(0.25)
    return track_of(score, interval_s=1.0)


def test_long_footage_is_counted_and_the_threshold_keeps_its_budget_on_days_to_come():
    found = threshold_for(street(14, seed=1), RULE, 2.0, SILENCE_S)
    assert found.method is Method.COUNTED
    assert found.low < found.open_score < found.high
    rule = RULE.model_copy(update={"open_score": found.open_score})
    assert len(replay(street(14, seed=1), rule, SILENCE_S)) <= 28
    assert len(replay(street(40, seed=2), rule, SILENCE_S)) / 40 == pytest.approx(2.0, rel=0.5)


def test_short_footage_is_extrapolated_to_a_rate_that_it_could_not_have_shown():
    found = [threshold_for(street(0.5, seed), RULE, 0.2, SILENCE_S) for seed in range(20)]
    assert {threshold.method for threshold in found} == {Method.EXTRAPOLATED}
    truth = 0.3 + 0.25 * np.log(200 / 0.2)
    covered = [threshold.low <= truth <= threshold.high for threshold in found]
    assert sum(covered) >= 17, (truth, found)
    assert np.median([threshold.open_score for threshold in found]) == pytest.approx(truth, rel=0.2)


def test_the_less_footage_the_wider_the_interval():
    wide = threshold_for(street(0.2, 3), RULE, 1.0, SILENCE_S)
    narrow = threshold_for(street(4, 3), RULE, 1.0, SILENCE_S)
    assert wide.method is narrow.method is Method.EXTRAPOLATED
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_short_footage_in_which_nothing_happens_proves_nothing_and_keeps_the_rule():
    found = threshold_for(street(0.2, 4, events_per_day=0), RULE, 1.0, SILENCE_S)
    assert (found.method, found.open_score, found.low) == (Method.KEPT, 0.5, None)
    shaken = street(0.2, 4, events_per_day=0)
    shaken.score[100:110] = 2.0
    found = threshold_for(shaken, RULE, 1.0, SILENCE_S)
    assert (found.method, found.open_score) == (Method.KEPT, np.nextafter(2.0, 3.0))


def test_long_quiet_footage_lets_the_threshold_down_to_where_alerts_close():
    found = threshold_for(street(10, 5, events_per_day=0), RULE, 1.0, SILENCE_S)
    assert (found.method, found.open_score) == (Method.COUNTED, RULE.close_score)


def test_tails_of_any_shape_are_followed_beyond_what_was_seen():
    drawn = np.random.default_rng(6).random(200)
    bounded = level_exceeded(0.3 + (1 - drawn**0.3), 0.3, days=1.0, per_day=1.0)
    assert bounded.low < 0.3 + (1 - 200**-0.3) < bounded.high
    heavy = level_exceeded(0.3 + (drawn**-0.3 - 1), 0.3, days=1.0, per_day=1.0)
    assert heavy.low < 0.3 + (200**0.3 - 1) < heavy.high
    assert bounded.high < heavy.low


def test_a_rate_that_the_events_do_not_even_reach_needs_no_higher_level():
    assert level_exceeded(np.full(4, 0.9), 0.3, days=10.0, per_day=5.0).value == 0.3
