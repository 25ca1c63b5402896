from __future__ import annotations

import math

import numpy as np
import pytest

from services.anomaly.core.smoothing import centred_gaussian, trailing_mean

IMPULSE = np.eye(1, 41, 20)[0]


def test_the_gaussian_spreads_evenly_to_both_sides_and_keeps_the_sum():
    smoothed = centred_gaussian(IMPULSE, sigma=3.0)
    assert smoothed.sum() == pytest.approx(1.0)
    assert smoothed == pytest.approx(smoothed[::-1])
    assert smoothed[23] / smoothed[20] == pytest.approx(math.exp(-0.5), rel=1e-3)


def test_the_trailing_mean_knows_no_future_and_forgets_by_its_memory():
    followed = trailing_mean(IMPULSE, memory=4.0)
    assert not followed[:20].any()
    assert followed[24] / followed[20] == pytest.approx(math.exp(-1.0))
    changed = np.append(IMPULSE[:30], np.full(11, 9.0))
    assert trailing_mean(changed, memory=4.0)[:30].tolist() == followed[:30].tolist()


@pytest.mark.parametrize("shape", [(12,), (12, 3, 4)])
def test_steady_errors_stay_and_maps_are_smoothed_over_time_alone(shape):
    steady = np.broadcast_to(np.arange(np.prod(shape[1:])).reshape(shape[1:]), shape)
    assert centred_gaussian(steady, sigma=3.0) == pytest.approx(steady)
    assert trailing_mean(steady, memory=3.0) == pytest.approx(steady)


def test_nothing_is_smoothed_unless_it_is_asked_for():
    errors = np.random.default_rng(0).random(20)
    assert centred_gaussian(errors, sigma=0).tolist() == errors.tolist()
    assert trailing_mean(errors, memory=0).tolist() == errors.tolist()
