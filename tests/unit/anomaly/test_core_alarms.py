from __future__ import annotations

import numpy as np
import pytest

from services.anomaly.core.alarms import alarm_spans, count_alarms, true_spans
from services.anomaly.core.evaluation import ScoredVideo


def video(errors, abnormal):
    return ScoredVideo("v", np.array(errors, dtype=float), np.array(abnormal, dtype=bool))


def test_spans_are_the_runs_of_true_to_the_very_ends():
    assert true_spans(np.array([1, 1, 0, 1, 0, 0, 1], dtype=bool)) == [(0, 2), (3, 4), (6, 7)]
    assert true_spans(np.zeros(3, dtype=bool)) == []


def test_alarms_close_together_are_one():
    errors = np.array([9, 0, 9, 0, 0, 0, 9], dtype=float)
    assert alarm_spans(errors, threshold=1.0, merge_gap=3) == [(0, 3), (6, 7)]
    assert alarm_spans(errors, threshold=1.0, merge_gap=4) == [(0, 7)]


def test_an_event_is_found_once_and_only_alarms_beside_all_events_are_false():
    found = video([0, 9, 0, 9, 0, 0, 0, 9], [0, 1, 1, 1, 0, 0, 0, 0])
    missed = video([0, 0, 0, 0], [0, 0, 1, 1])
    count = count_alarms([found, missed], threshold=1.0, merge_gap=1)
    assert (count.events, count.found, count.false_alarms, count.frames) == (2, 1, 1, 12)
    assert count.recall == 0.5
    assert count.false_alarms_per_hour(fps=12.0) == pytest.approx(3600.0)
