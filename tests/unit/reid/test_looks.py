from __future__ import annotations

import numpy as np
import pytest

from services.reid.core.looks import BEST, Looks, pooled


def looks(*values: float, quality: float = 0.8) -> Looks:
    vector = np.zeros(256, np.float32)
    vector[: len(values)] = values
    return Looks(vector / np.linalg.norm(vector), quality)


def test_one_crop_is_what_it_is():
    alone = looks(3, 4)
    assert pooled([alone]).likeness(alone) == pytest.approx(1)


def test_the_better_crop_has_more_say_and_the_length_stays_one():
    together = pooled([looks(1, quality=0.9), looks(0, 1, quality=0.1)])
    assert together.vector[0] > 5 * together.vector[1] > 0
    assert np.linalg.norm(together.vector) == pytest.approx(1, abs=1e-6)
    assert together.quality == 0.9


def test_poor_crops_have_no_say_where_there_are_good_ones():
    good = [looks(1, quality=0.7)] * BEST
    assert pooled([*good, *[looks(0, 1, quality=0.2)] * 50]).likeness(good[0]) == pytest.approx(1)


def test_crops_of_no_quality_and_opposite_crops_still_give_a_direction():
    assert pooled([looks(1, quality=0.0)]).vector[0] == pytest.approx(1)
    assert np.linalg.norm(pooled([looks(1), looks(-1)]).vector) == pytest.approx(1)


def test_nothing_cannot_be_pooled():
    with pytest.raises(ValueError, match="no looks"):
        pooled([])
