from __future__ import annotations

import numpy as np
import pytest

from services.gateway.core.baseline import HOUR_FRAMES, STANDING_FRAMES, Baseline
from shared.messages import Prior

PRIOR = Prior(q50=0.01, q95=0.015, q99=0.02, q999=0.03)


def normal(frames: int, scale: float = 1.0, seed: int = 0):
    """Errors whose quantiles are those of the prior, times a scale."""
    rng = np.random.default_rng(seed)
    return scale * np.interp(
        rng.random(frames), [0, 0.5, 0.95, 0.99, 0.999, 1], [0.006, 0.01, 0.015, 0.02, 0.03, 0.034]
    )


def test_a_camera_that_has_said_nothing_stands_where_the_card_says():
    levels = Baseline().levels(PRIOR)
    assert levels.learning
    assert levels.score(PRIOR.q50) == 0
    assert levels.score(PRIOR.q999) == pytest.approx(1)


def test_quantiles_stand_after_enough_frames():
    baseline = Baseline()
    baseline.absorb(normal(STANDING_FRAMES - 1))
    assert baseline.levels(PRIOR).learning
    baseline.absorb(normal(1))
    assert not baseline.levels(PRIOR).learning


def test_a_camera_whose_scene_is_noisier_than_the_card_raises_no_alarm_in_its_first_minute():
    baseline = Baseline()
    baseline.absorb(normal(16, scale=8.0, seed=99))
    loudest = 0.0
    for n in range(20):
        errors = normal(16, scale=8.0, seed=n)
        levels = baseline.levels(PRIOR)
        loudest = max(loudest, *(levels.score(error) for error in errors))
        baseline.absorb(errors)
    assert loudest < 1.5


def test_a_quiet_first_minute_makes_no_hair_trigger():
    baseline = Baseline()
    baseline.absorb(normal(300, scale=0.1))
    assert baseline.levels(PRIOR).score(PRIOR.q99) < 1


def test_a_camera_s_own_scale_stands_in_the_end():
    baseline = Baseline()
    baseline.absorb(normal(200_000, scale=0.5))
    levels = baseline.levels(PRIOR)
    assert levels.usual == pytest.approx(0.005, rel=0.05)
    assert levels.rare == pytest.approx(0.015, rel=0.15)


def test_an_anomaly_in_the_first_minutes_does_not_blind_the_camera():
    baseline = Baseline()
    baseline.absorb(normal(STANDING_FRAMES))
    before = baseline.levels(PRIOR)
    baseline.absorb(np.full(100, 0.2))
    after = baseline.levels(PRIOR)
    assert after.score(0.2) > 0.6 * before.score(0.2)
    assert after.score(0.2) > 3


def test_a_baseline_survives_storage():
    baseline = Baseline()
    baseline.absorb(normal(5_000))
    again = Baseline(baseline.pack())
    assert again.frames == 5_000
    assert again.levels(PRIOR) == baseline.levels(PRIOR)


def test_more_frames_do_not_make_it_larger_without_bound():
    baseline = Baseline()
    for n in range(50):
        baseline.absorb(normal(20_000, seed=n))
    assert len(baseline.pack()) < 20_000


def rush(hour: int) -> float:
    """How much larger a normal error is at that hour than at night."""
    return 3.0 if hour in (7, 8, 17, 18) else 1.0


def taught(days: int) -> Baseline:
    """A baseline of a street with rush hours, one frame a second."""
    baseline = Baseline()
    for day in range(days):
        for hour in range(24):
            errors = normal(3600, scale=rush(hour), seed=100 * day + hour)
            baseline.absorb(errors, [hour] * 3600)
    return baseline


def test_a_frame_that_is_usual_at_its_hour_scores_as_usual_there():
    baseline = taught(days=10)
    for hour in (3, 8):
        levels = baseline.levels(PRIOR, hour)
        assert abs(levels.score(0.01 * rush(hour))) < 0.15
        assert levels.score(0.03 * rush(hour)) == pytest.approx(1, abs=0.4)
    whole = baseline.levels(PRIOR)
    assert whole.score(0.03) < 0.5 * baseline.levels(PRIOR, 3).score(0.03), (
        "what is rare at night drowns in a scale for the whole day"
    )


def test_an_hour_is_as_the_whole_until_it_holds_frames():
    baseline = Baseline()
    baseline.absorb(normal(50_000), [12] * 50_000)
    assert baseline.levels(PRIOR, 3) == baseline.levels(PRIOR)
    loud = normal(HOUR_FRAMES, scale=4.0)
    drawn = []
    for n in range(0, HOUR_FRAMES, 1_000):
        baseline.absorb(loud[n : n + 1_000], [3] * 1_000)
        drawn.append(baseline.levels(PRIOR, 3).usual)
    assert drawn == sorted(drawn), "it is drawn to its own, step by step"
    assert drawn[0] < 1.4 * baseline.levels(PRIOR).usual
    assert drawn[-1] > 1.8 * baseline.levels(PRIOR).usual


def test_while_the_whole_is_learning_no_hour_is_told_apart():
    baseline = Baseline()
    baseline.absorb(normal(700), [3] * 700)
    baseline.absorb(normal(700, scale=3.0), [8] * 700)
    assert baseline.levels(PRIOR, 3) == baseline.levels(PRIOR, 8) == baseline.levels(PRIOR)


def test_hours_survive_storage_and_only_the_taught_ones_are_written():
    baseline = taught(days=1)
    again = Baseline(baseline.pack(), baseline.pack_hours(), open_score=0.7)
    assert again.frames_by_hour == dict.fromkeys(range(24), 3600)
    assert again.levels(PRIOR, 8) == baseline.levels(PRIOR, 8)
    assert again.pack_hours(taught_only=True) == {}
    again.absorb([0.01, 0.02], [23, 0])
    assert set(again.pack_hours(taught_only=True)) == {23, 0}


def test_all_hours_together_are_bounded():
    baseline = Baseline()
    for n in range(30):
        errors = normal(18_000, seed=n)
        for hour in range(24):
            baseline.absorb(errors, np.full(18_000, hour))
    assert sum(map(len, baseline.pack_hours().values())) < 24 * 4_096
