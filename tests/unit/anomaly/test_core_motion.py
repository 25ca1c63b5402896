"""How fast what moves, moves; and how far that is from what is normal."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from services.anomaly.core.density import Mixture
from services.anomaly.core.flow import Flow
from services.anomaly.core.motion import MotionSettings, motion_of
from tests.unit.anomaly.walker import walker

SETTINGS = MotionSettings()


def paces(clip, intervals_s=None):
    """Greatest pace in each frame, pixels an interval."""
    motion = motion_of(Flow(clip, intervals_s), SETTINGS)
    maps = motion.spread(np.exp(motion.traits[:, 0]) - SETTINGS.least_speed / 2)
    return maps.max(axis=(1, 2))


def test_a_street_where_nothing_moves_has_no_traits():
    motion = motion_of(Flow(walker(0)), SETTINGS)
    assert motion.traits.shape == (0, 2)
    assert not motion.moves.any()


@pytest.mark.parametrize("speed", [1, 2, 4])
def test_the_pace_is_that_of_what_moves(speed):
    assert np.median(paces(walker(speed))) == pytest.approx(speed, rel=0.45)


def test_traits_lie_where_something_moves():
    motion = motion_of(Flow(walker(2)), SETTINGS)
    rows, columns = np.nonzero(motion.moves.any(axis=0))
    half = SETTINGS.cell // 2
    assert 60 - SETTINGS.cell <= (rows.min() + 1) * half
    assert (rows.max() + 1) * half <= 88 + SETTINGS.cell
    assert columns.min() * half < 76 < columns.max() * half


def test_a_large_thing_fills_more_of_its_surroundings():
    small = motion_of(Flow(walker(2)), SETTINGS).traits[:, 1].max()
    large = motion_of(Flow(walker(2, width=40, height=40)), SETTINGS).traits[:, 1].max()
    assert large > 1.5 * small


def test_a_camera_of_half_the_rate_sees_the_same_pace():
    every_frame = walker(2, frames=9)
    half = np.full(4, 2 * SETTINGS.interval_s)
    assert np.median(paces(every_frame[::2], half)) == pytest.approx(
        np.median(paces(every_frame)), rel=0.25
    )


def gaussian(mean, deviation) -> Mixture:
    """One Gaussian in unstandardised traits, without correlation."""
    density = multivariate_normal(mean, np.diag(np.square(deviation)))
    return Mixture(
        mean=(0.0, 0.0),
        scale=(1.0, 1.0),
        weights=(1.0,),
        means=(tuple(mean),),
        choleskys=(tuple(map(tuple, np.diag(deviation).tolist())),),
        peak=float(density.logpdf(mean)),
    )


def test_the_distance_to_one_gaussian_is_that_of_mahalanobis():
    mixture = gaussian([1.0, 0.5], [0.5, 0.1])
    traits = np.array([[1.0, 0.5], [2.0, 0.5], [1.0, 0.8], [2.0, 0.8]], np.float32)
    assert mixture.distances(traits) == pytest.approx([0, 2, 3, np.hypot(2, 3)], abs=1e-3)


def test_no_trait_has_no_distance():
    assert gaussian([1.0, 0.5], [0.5, 0.1]).distances(np.zeros((0, 2), np.float32)).shape == (0,)
