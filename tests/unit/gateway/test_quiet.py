"""Which quiet frames are kept, and which one is most like another."""

from __future__ import annotations

import numpy as np
import pytest

from services.gateway.core.quiet import (
    COLUMNS,
    EVERY_S,
    RECENT,
    ROWS,
    is_due,
    nearest,
    outside,
    slots_for,
    thumbnail_of,
)
from shared.messages import Box

SECOND = 1_000_000
HOUR = 3600 * SECOND
START = 500_000 * HOUR


def kept_after(moments: list[int]) -> dict[str, int]:
    kept: dict[str, int] = {}
    for captured_us in moments:
        hour = captured_us // HOUR % 24
        kept |= dict.fromkeys(slots_for(captured_us, hour, kept), captured_us)
    return kept


def test_a_frame_is_due_once_in_a_while_and_after_a_clock_jump():
    assert is_due(START, None)
    assert not is_due(START + SECOND, START)
    assert is_due(START + int(EVERY_S) * SECOND, START)
    assert is_due(START - 100 * HOUR, START)


def test_of_three_days_the_newest_and_one_of_every_hour_are_kept():
    moments = [START + minute * 60 * SECOND for minute in range(3 * 24 * 60)]
    kept = kept_after(moments)
    assert len(kept) == RECENT + 24
    recent = sorted(us for slot, us in kept.items() if slot.startswith("recent"))
    assert recent == moments[-RECENT:]
    hourly = sorted(us for slot, us in kept.items() if slot.startswith("hour"))
    assert hourly == [moments[2 * 24 * 60] + hour * HOUR for hour in range(24)]


def test_what_was_kept_before_the_clock_was_set_back_makes_room_first():
    future = [START + 100 * HOUR + minute * 60 * SECOND for minute in range(RECENT)]
    now = [START + minute * 60 * SECOND for minute in range(RECENT)]
    kept = kept_after(future + now)
    assert sorted(us for slot, us in kept.items() if slot.startswith("recent")) == now


def test_the_most_alike_is_found_by_what_lies_outside_of_the_regions():
    morning, evening = np.full((2, 480, 640, 3), 120, np.uint8)
    evening[:] = 60
    morning_van, evening_van = morning.copy(), evening.copy()
    for frame in (morning_van, evening_van):
        frame[200:400, 100:500] = 255
    kept = {"morning": thumbnail_of(morning), "evening": thumbnail_of(evening_van)}
    thumbnail = thumbnail_of(morning_van)
    van = Box(x=100, y=200, width=400, height=200)
    found = nearest(thumbnail, outside([van], 640, 480), kept)
    assert found.slot == "morning"
    assert found.difference == pytest.approx(0, abs=0.01)
    whole = nearest(thumbnail, outside([], 640, 480), kept)
    assert whole.difference > 0.1, "the van counts where no region leaves it out"


def test_regions_that_leave_next_to_nothing_leave_everything():
    assert outside([Box(x=-5, y=-5, width=900, height=900)], 640, 480).all()
    half = outside([Box(x=0, y=0, width=320, height=480)], 640, 480)
    assert half.shape == (ROWS, COLUMNS)
    assert half.mean() == 0.5


def test_nothing_is_like_a_frame_where_none_is_kept():
    assert nearest(np.zeros((ROWS, COLUMNS), np.uint8), outside([], 8, 8), {}) is None
