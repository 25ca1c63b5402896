from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.core.alarm import (
    Alarm,
    AlarmRule,
    Phase,
    Severity,
    Turn,
    close,
    hear,
    severity_of,
)

SECOND = 1_000_000
RULE = AlarmRule(
    open_score=1.5, close_score=0.9, min_duration_s=0.6, quiet_s=2.0, cooldown_s=5.0, caution=1.2
)


def play(scores, rule=RULE, learning=False, start=0, alarm=None, step_us=200_000):
    """Turns with the time in seconds of each, for scores at five frames a second."""
    alarm, turns = alarm or Alarm(), []
    for n, score in enumerate(scores):
        at = start + n * step_us
        alarm, turn = hear(alarm, at, score, rule, learning=learning)
        if turn is not None:
            turns.append((at / SECOND, turn))
    return alarm, turns


def test_a_rise_opens_after_its_minimum_duration_and_closes_after_quiet():
    alarm, turns = play([0] * 5 + [2.0] * 10 + [0.2] * 15)
    opened, closed = turns[0], turns[-1]
    assert opened == (1.6, Turn.OPENED)
    assert closed == (4.8, Turn.CLOSED)
    assert alarm.closed_us == 2_800_000, "it ended with its last loud frame"


def test_a_flash_opens_nothing():
    assert play([0, 3, 3, 0, 0, 3, 0])[1] == []


def test_between_the_thresholds_nothing_opens_and_nothing_closes():
    assert play([1.2] * 50)[1] == []
    _, turns = play([2.0] * 5 + [1.0] * 50)
    assert [turn for _, turn in turns] == [Turn.OPENED]


def test_a_rise_survives_a_dip_that_stays_loud():
    _, turns = play([2.0, 1.0, 2.0, 2.0, 2.0])
    assert turns == [(0.6, Turn.OPENED)]


def test_a_new_rise_soon_after_reopens_the_same_alert():
    alarm, turns = play([2.0] * 5 + [0] * 20 + [2.0] * 5)
    assert [turn for _, turn in turns if turn is not Turn.PEAKED] == [
        Turn.OPENED,
        Turn.CLOSED,
        Turn.REOPENED,
    ]
    assert alarm.phase is Phase.OPEN


def test_a_new_rise_long_after_is_another_alert():
    _, turns = play([2.0] * 5 + [0] * 60 + [2.0] * 5)
    assert [turn for _, turn in turns] == [Turn.OPENED, Turn.CLOSED, Turn.OPENED]


def test_louder_frames_raise_the_peak():
    alarm, turns = play([2.0, 2.0, 2.0, 2.0, 3.0, 2.5])
    assert (0.8, Turn.PEAKED) in turns
    assert (alarm.peak_score, alarm.peak_us) == (3.0, 800_000)


def test_while_learning_more_is_needed_to_open():
    assert play([1.7] * 10, learning=True)[1] == []
    assert play([1.9] * 10, learning=True)[1] != []


def test_without_a_minimum_duration_the_first_loud_frame_opens():
    rule = RULE.model_copy(update={"min_duration_s": 0.0})
    assert play([0, 2.0], rule)[1] == [(0.2, Turn.OPENED)]


def test_closing_by_the_clock_ends_with_the_last_loud_frame():
    alarm, _ = play([2.0] * 5)
    assert close(alarm).closed_us == 800_000
    assert close(alarm).phase is Phase.QUIET


@given(st.lists(st.floats(0, 6), max_size=200))
def test_openings_and_closings_alternate(scores):
    _, turns = play(scores)
    told = [turn for _, turn in turns if turn is not Turn.PEAKED]
    opening = [turn is not Turn.CLOSED for turn in told]
    assert opening == [n % 2 == 0 for n in range(len(opening))]


@given(st.lists(st.floats(0, 6), min_size=1, max_size=120), st.integers(0, 119))
def test_an_alarm_that_was_stored_goes_on_where_it_was(scores, cut):
    whole, turns = play(scores)
    first, before = play(scores[:cut])
    stored = Alarm.model_validate(first.model_dump(mode="json"))
    second, after = play(scores[cut:], start=len(scores[:cut]) * 200_000, alarm=stored)
    assert (second, before + after) == (whole, turns)


@pytest.mark.parametrize(
    ("peak", "learning", "severity"),
    [
        (0.9, False, Severity.LOW),
        (1.2, False, Severity.MEDIUM),
        (2.0, False, Severity.HIGH),
        (9.0, False, Severity.CRITICAL),
        (9.0, True, Severity.HIGH),
        (0.9, True, Severity.LOW),
    ],
)
def test_severity_grows_with_the_peak_and_is_less_while_learning(peak, learning, severity):
    assert severity_of(peak, learning=learning) is severity
