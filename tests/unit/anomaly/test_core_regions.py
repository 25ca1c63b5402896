from __future__ import annotations

import numpy as np
import pytest

from services.anomaly.core.regions import abnormal_regions


def error_map(**errors):
    """4 x 4 patches of error 0.1 but for those named, r0c1=0.5 say."""
    values = np.full((4, 4), 0.1, dtype=np.float32)
    for place, error in errors.items():
        values[int(place[1]), int(place[3])] = error
    return values


def box(region):
    return region.x, region.y, region.width, region.height


def test_an_unremarkable_map_has_no_regions():
    assert abnormal_regions(error_map(), threshold=0.2, width=320, height=240) == ()


def test_a_region_is_boxed_in_pixels_of_the_original_frame():
    (region,) = abnormal_regions(
        error_map(r1c2=0.5, r2c2=0.4), threshold=0.2, width=320, height=240
    )
    assert box(region) == (160.0, 60.0, 80.0, 120.0)
    assert region.confidence == pytest.approx(1 - 0.2 / 0.5)


def test_patches_that_touch_at_a_corner_are_one_region():
    (region,) = abnormal_regions(error_map(r0c0=0.5, r1c1=0.5), threshold=0.2, width=4, height=4)
    assert box(region) == (0.0, 0.0, 2.0, 2.0)


def test_separate_regions_come_worst_first():
    worst, other = abnormal_regions(error_map(r0c0=0.3, r3c3=0.9), threshold=0.2, width=4, height=4)
    assert box(worst) == (3.0, 3.0, 1.0, 1.0)
    assert box(other) == (0.0, 0.0, 1.0, 1.0)
    assert worst.confidence > other.confidence > 0.0


def test_a_regions_confidence_is_its_own_even_where_boxes_interlock():
    ring = error_map(r0c0=0.3, r1c0=0.3, r2c0=0.3, r3c0=0.3, r3c1=0.3, r3c2=0.3, r1c2=0.9)
    regions = abnormal_regions(ring, threshold=0.2, width=4, height=4)
    assert [round(region.confidence, 3) for region in regions] == [
        round(1 - 0.2 / 0.9, 3),
        round(1 - 0.2 / 0.3, 3),
    ]
