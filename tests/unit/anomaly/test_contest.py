"""Which of two models is to serve a camera, by what they say of its held-out clips."""

from __future__ import annotations

import numpy as np
import pytest

from services.anomaly.core.bootstrap import auc_gain
from services.anomaly.core.contest import FALSE_ALARMS, MARGIN, contest, standing_of
from services.anomaly.core.evaluation import ScoredVideo

CLIPS, FRAMES = 24, 32


def clips(lift: float, *, seed: int = 0, tail: float = 0.0) -> list[ScoredVideo]:
    """Errors of clips, half of whose frames are invented and `lift` higher. tail: of one normal
    frame in ten, how much higher it is."""
    random = np.random.default_rng(seed)
    abnormal = np.arange(FRAMES) >= FRAMES // 2
    found = []
    for n in range(CLIPS):
        errors = random.normal(1.0, 0.2, FRAMES) + lift * abnormal
        errors[(random.random(FRAMES) < 0.1) & ~abnormal] += tail
        found.append(ScoredVideo(str(n), errors, abnormal))
    return found


def test_a_model_that_separates_better_wins():
    found = contest(clips(0.2), clips(0.5, seed=1))
    assert found.is_won, found.faults
    assert found.gain > MARGIN
    assert 0 < found.interval.low < found.gain < found.interval.high
    assert found.clips == CLIPS


def test_the_scale_of_the_errors_wins_nothing():
    larger = [ScoredVideo(c.name, c.errors * 100, c.abnormal) for c in clips(0.3)]
    found = contest(clips(0.3), larger)
    assert found.gain == 0
    assert not found.is_won


def test_a_model_that_separates_worse_loses():
    found = contest(clips(0.5), clips(0.2, seed=1))
    assert not found.is_won
    assert found.gain < 0


def test_what_another_choice_of_clips_might_turn_round_does_not_win():
    """One clip in which the candidate shines, and twenty-three in which it is the same."""
    serving = clips(0.3)
    candidate = list(serving)
    star = serving[0]
    candidate[0] = ScoredVideo(star.name, star.errors + 10.0 * star.abnormal, star.abnormal)
    found = contest(serving[:4], candidate[:4])
    assert found.gain > MARGIN
    assert found.interval.low <= 0
    assert found.faults == ("with other clips of the camera it might be no better",)


def test_a_higher_auc_with_a_heavier_tail_of_normal_errors_does_not_win():
    """It would find less where false alarms are few, which is where alarms are set."""
    serving, candidate = clips(0.3), clips(0.8, seed=1, tail=2.0)
    found = contest(serving, candidate)
    assert found.gain > MARGIN
    assert found.candidate.tail > found.serving.tail
    assert found.candidate.recall < found.serving.recall
    assert [fault for fault in found.faults if f"{FALSE_ALARMS:.0%} false alarms" in fault]


def test_what_is_no_better_than_chance_does_not_win_however_bad_the_other_is():
    found = contest(clips(-0.5), clips(-0.05, seed=1))
    assert found.gain > MARGIN
    assert found.interval.low > 0
    assert found.faults == (f"its AUC of {found.candidate.auc:.3f} is no better than chance",)


def test_a_standing_is_what_its_words_say():
    video = ScoredVideo("a", np.arange(200.0), np.arange(200) >= 100)
    standing = standing_of([video])
    assert standing.auc == 1.0
    assert standing.recall == 1.0
    assert standing.tail == pytest.approx(98.01 / 49.5)


def test_clips_are_drawn_in_pairs():
    """The same hard clip for both: the gain of one constant lift has an interval of nothing."""
    before = clips(0.3)
    assert auc_gain(before, before, draws=50, seed=0) == (0, 0)
