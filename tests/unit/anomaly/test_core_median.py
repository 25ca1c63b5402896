from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.anomaly.core.median import comparisons, median_over_time


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40))
def test_the_comparisons_sort_whatever_comes(values):
    expected = sorted(values)
    for first, second in comparisons(len(values)):
        values[first], values[second] = sorted((values[first], values[second]))
    assert values == expected


@pytest.mark.parametrize("frames", [1, 2, 7, 8, 16])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_median_is_that_of_numpy(frames, channels):
    clip = np.random.default_rng(0).normal(size=(channels, frames, 6, 5)).astype(np.float32)
    before = clip.copy()
    median = median_over_time(clip)
    assert median.dtype == np.float32
    np.testing.assert_allclose(median, np.median(clip, axis=1, keepdims=True), rtol=1e-6)
    np.testing.assert_array_equal(clip, before)
