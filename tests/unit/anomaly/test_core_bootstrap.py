from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from services.anomaly.core.bootstrap import auc_intervals
from services.anomaly.core.evaluation import ScoredVideo, separations

CONVENTIONS = ("video_normalised", "raw", "macro")


def videos_of(seed, count, separation=1.0):
    random = np.random.default_rng(seed)
    videos = []
    for n in range(count):
        abnormal = np.arange(30) >= random.integers(5, 25)
        # Whole numbers, so that frames tie within videos and between them.
        errors = np.round(random.normal(n % 3 + separation * abnormal, 1.0) * 3)
        videos.append(ScoredVideo(f"{n}", errors, abnormal))
    return videos


def naive_intervals(videos, *, draws, seed):
    """Every resample laid out frame by frame and judged as a test set of its own."""
    weights = np.random.default_rng(seed).multinomial(
        len(videos), np.full(len(videos), 1 / len(videos)), size=draws
    )
    found = [
        separations([video for video, n in zip(videos, row, strict=True) for _ in range(n)])
        for row in weights
    ]
    return {
        name: np.percentile([getattr(three, name).auc for three in found], [2.5, 97.5])
        for name in CONVENTIONS
    }


def test_intervals_are_those_of_laid_out_resamples():
    videos = videos_of(seed=3, count=6)
    quick = auc_intervals(videos, draws=50, seed=8)
    for name, expected in naive_intervals(videos, draws=50, seed=8).items():
        assert getattr(quick, name) == pytest.approx(expected), name


def test_an_interval_holds_the_figure_and_narrows_with_more_videos():
    few, many = videos_of(seed=1, count=6), videos_of(seed=1, count=96)
    widths = []
    for videos in (few, many):
        found, three = auc_intervals(videos, draws=400, seed=0), separations(videos)
        for name in CONVENTIONS:
            low, high = getattr(found, name)
            assert low < getattr(three, name).auc < high
        widths.append(found.raw.high - found.raw.low)
    assert widths[1] < widths[0] / 2


def test_the_same_seed_draws_the_same_videos_for_every_scorer():
    videos = videos_of(seed=5, count=5)
    doubled = [ScoredVideo(v.name, 2 * v.errors, v.abnormal) for v in videos]
    assert auc_intervals(videos, draws=60, seed=4) == auc_intervals(doubled, draws=60, seed=4)
    assert auc_intervals(videos, draws=60, seed=4) != auc_intervals(videos, draws=60, seed=5)


def test_what_was_made_of_one_source_is_drawn_together():
    videos = videos_of(seed=5, count=6)
    twice = [replace(v, name=f"{v.name}-{n}", source=v.name) for v in videos for n in range(2)]
    found, expected = (auc_intervals(made, draws=60, seed=4) for made in (twice, videos))
    for name in CONVENTIONS:
        assert getattr(found, name) == pytest.approx(getattr(expected, name)), name
    apart = [replace(video, source="") for video in twice]
    assert auc_intervals(apart, draws=60, seed=4).raw != pytest.approx(expected.raw)


def test_a_resample_of_one_class_is_drawn_anew():
    # Half of all draws of these two would hold one class alone; with both, separation is perfect.
    normal = ScoredVideo("n", np.array([1.0, 2.0]), np.array([False, False]))
    abnormal = ScoredVideo("a", np.array([3.0, 4.0]), np.array([True, True]))
    found = auc_intervals([normal, abnormal], draws=100, seed=0)
    assert found.raw == (1.0, 1.0)
