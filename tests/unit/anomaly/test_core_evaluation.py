from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.anomaly.core.evaluation import ScoredVideo, roc, separations, to_unit_range
from services.anomaly.core.regularity import regularity
from shared.errors import Malformed


def video(errors, abnormal, name="v"):
    return ScoredVideo(name, np.array(errors, dtype=float), np.array(abnormal, dtype=bool))


def naive_auc(errors, abnormal):
    """The chance that an abnormal frame's error is above a normal one's; a tie is half."""
    pairs = [
        1.0 if bad > good else 0.5 if bad == good else 0.0
        for bad, is_bad in zip(errors, abnormal, strict=True)
        if is_bad
        for good, good_is_bad in zip(errors, abnormal, strict=True)
        if not good_is_bad
    ]
    return sum(pairs) / len(pairs)


frames = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=40).filter(
    lambda drawn: len({abnormal for _, abnormal in drawn}) == 2
)


@given(frames)
def test_auc_is_the_chance_of_ranking_a_pair_rightly(drawn):
    errors, abnormal = zip(*drawn, strict=True)
    curve = roc(np.array(errors, dtype=float), np.array(abnormal))
    assert curve.auc == pytest.approx(naive_auc(errors, abnormal))


@given(frames)
def test_at_the_equal_error_rate_the_curve_has_as_many_false_alarms_as_misses(drawn):
    errors, abnormal = zip(*drawn, strict=True)
    curve = roc(np.array(errors, dtype=float), np.array(abnormal))
    points = np.stack([curve.false_positive_rate, curve.true_positive_rate], axis=1)
    point = np.array([curve.eer, 1.0 - curve.eer])
    detours = [
        np.linalg.norm(point - start) + np.linalg.norm(end - point) - np.linalg.norm(end - start)
        for start, end in pairwise(points)
    ]
    assert min(detours) == pytest.approx(0.0, abs=1e-9)


def test_perfect_separation_has_no_errors_and_its_opposite_nothing_else():
    labels = [False, False, True, True]
    right = roc(np.array([0.1, 0.2, 0.3, 0.4]), np.array(labels))
    wrong = roc(np.array([0.4, 0.3, 0.2, 0.1]), np.array(labels))
    assert (right.auc, right.eer) == (1.0, 0.0)
    assert (wrong.auc, wrong.eer) == (0.0, 1.0)


def test_errors_that_say_nothing_are_right_half_the_time():
    curve = roc(np.zeros(10), np.arange(10) < 3)
    assert (curve.auc, curve.eer) == (0.5, 0.5)


def test_frames_of_one_class_have_no_curve():
    with pytest.raises(Malformed, match="normal and abnormal") as raised:
        roc(np.arange(4.0), np.ones(4, dtype=bool))
    assert raised.value.code == "one_class"


def test_the_three_conventions_part_where_videos_differ_in_level():
    dim = video([1, 1, 2], [False, False, True])
    bright = video([11, 11, 12], [False, False, True])
    three = separations([dim, bright])
    assert three.video_normalised.auc == 1.0
    assert three.macro.auc == 1.0
    assert three.raw.auc == pytest.approx(naive_auc([1, 1, 2, 11, 11, 12], [0, 0, 1, 0, 0, 1]))
    assert three.raw.auc < 1.0


def test_a_video_of_one_class_counts_in_the_macro_mean_by_its_padding():
    mixed = video([2, 1], [False, True])
    all_abnormal = video([3, 5], [True, True])
    padded = [
        naive_auc([2, 1, 0, 2], [0, 1, 0, 1]),
        naive_auc([3, 5, 0, 5], [1, 1, 0, 1]),
    ]
    assert separations([mixed, all_abnormal]).macro.auc == pytest.approx(np.mean(padded))


def test_the_macro_mean_does_not_depend_on_a_videos_unit():
    mixed = video([2, 1, 3], [False, True, True])
    all_abnormal = video([3, 5], [True, True])
    shifted = [video(one.errors * 7 - 20, one.abnormal) for one in (mixed, all_abnormal)]
    assert separations(shifted).macro == separations([mixed, all_abnormal]).macro


def test_the_unit_range_spans_one_video_and_a_flat_one_is_nothing():
    assert to_unit_range(np.array([2.0, 4.0, 3.0])).tolist() == [0.0, 1.0, 0.5]
    assert to_unit_range(np.array([2.0, 2.0])).tolist() == [0.0, 0.0]


def test_regularity_is_the_papers_and_falls_as_the_error_rises():
    assert regularity(np.array([0.2, 0.6, 0.8])).tolist() == pytest.approx([1.0, 0.5, 0.25])
    assert regularity(np.zeros(3)).tolist() == [1.0, 1.0, 1.0]
