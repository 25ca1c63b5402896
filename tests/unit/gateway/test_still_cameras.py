"""Cameras at which nothing moves most of the time: the error of most of their frames is 0."""

from __future__ import annotations

import numpy as np
import pytest

from services.gateway.core.baseline import STANDING_FRAMES, Baseline
from shared.messages import Prior

CITY = Prior(q50=0.00111, q95=0.0026, q99=0.00385, q999=0.00552)


def mostly_still(frames: int, still: float, seed: int = 0):
    """Stretches of fifty frames or so in which something moves, and nothing moves in between."""
    rng = np.random.default_rng(seed)
    errors = np.zeros(frames)
    at = 0
    while at < frames:
        at += 1 + int(rng.exponential(50 * still / (1 - still)))
        length = 1 + int(rng.exponential(50))
        moving = errors[at : at + length]
        moving[:] = 0.9e-3 * rng.lognormal(0, 0.3) * rng.lognormal(0, 0.25, len(moving))
        at += length
    return errors


@pytest.mark.parametrize("still", [0.3, 0.45, 0.55, 0.6, 0.7, 0.8, 0.95])
def test_a_camera_at_which_mostly_nothing_moves_sees_and_is_no_hair_trigger(still):
    to_come = mostly_still(200_000, still, seed=1)
    truly_rare = np.quantile(to_come, 0.999)
    baseline, learnt = Baseline(), 0
    for minutes in (2, 4.9, 5.1, 6, 10, 20, 60, 600):
        frames = round(minutes * 300)
        baseline.absorb(mostly_still(frames - learnt, still, seed=frames))
        learnt = frames
        levels = baseline.levels(CITY)
        assert levels.score(9 * CITY.q999) > 8, f"blind after {minutes} minutes"
        # Within minutes there are few stretches to tell the loudest by.
        most = 2.5 if minutes < 60 else 1.25
        assert levels.score(truly_rare) < most, f"a hair trigger after {minutes} minutes"
    assert levels.rare == pytest.approx(truly_rare, rel=0.15)


def test_busy_days_and_still_nights_have_a_scale_each():
    baseline = Baseline()
    for day in range(5):
        for hour in range(24):
            still = 0.2 if 7 <= hour < 19 else 0.95
            errors = mostly_still(18_000, still, seed=100 * day + hour)
            baseline.absorb(errors, [hour] * 18_000)
            for judged in (3, 12):
                levels = baseline.levels(CITY, judged)
                assert levels.score(9 * CITY.q999) > 8, f"blind at {judged} on day {day}"
    for hour, still in ((3, 0.95), (12, 0.2)):
        truly_rare = np.quantile(mostly_still(200_000, still, seed=7), 0.999)
        assert baseline.levels(CITY, hour).score(truly_rare) == pytest.approx(1, abs=0.35)


def test_an_anomaly_in_the_first_minutes_does_not_blind_a_still_camera():
    baseline = Baseline()
    baseline.absorb(mostly_still(STANDING_FRAMES, 0.7))
    baseline.absorb(np.full(100, 0.05))
    assert baseline.levels(CITY).score(0.05) > 5


def test_a_camera_at_which_nothing_ever_moved_has_a_scale():
    baseline = Baseline()
    baseline.absorb(np.zeros(50_000), [3] * 50_000)
    for hour in (3, 4, None):
        levels = baseline.levels(CITY, hour)
        assert 0 < levels.usual < levels.rare < CITY.q999


@pytest.mark.parametrize("q50", [0.0, -0.1, 0.03, 0.04, float("nan")])
def test_a_prior_of_which_no_scale_can_be_made_is_refused(q50):
    with pytest.raises(ValueError, match=r"q50|rise"):
        Prior(q50=q50, q95=0.03, q99=0.03, q999=0.03)
