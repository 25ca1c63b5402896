from __future__ import annotations

import numpy as np
import pytest

from services.anomaly.core.prefix import standardised


def test_errors_are_told_in_spreads_of_the_reference_from_its_median():
    errors = np.array([8.0, 10.0, 12.0, 14.0, 16.0, 12.0 + 10 * 2 * 1.4826])
    judged = standardised(errors, reference=5)
    assert judged[2] == 0.0
    assert judged[5] == pytest.approx(10.0)


def test_what_comes_after_the_reference_changes_nothing_before_it():
    errors = np.random.default_rng(0).random(20)
    other = np.append(errors[:12], 100 * errors[12:])
    assert standardised(other, reference=8)[:12].tolist() == (
        standardised(errors, reference=8)[:12].tolist()
    )


def test_the_scale_of_a_scorer_makes_no_difference():
    errors = np.random.default_rng(0).random(20)
    assert standardised(1000 * errors, reference=8) == pytest.approx(
        standardised(errors, reference=8)
    )


def test_a_reference_of_equal_frames_is_not_taken_for_certain():
    judged = standardised(np.array([2.0, 2.0, 2.0, 2.2]), reference=3)
    assert judged[3] == pytest.approx(2.0)  # a tenth of the median, in twentieths
    assert standardised(np.array([0.0, 0.0, 3.0]), reference=2).tolist() == [0.0, 0.0, 3.0]
