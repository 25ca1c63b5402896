"""What made pictures are measured by: against direct formulas, and on clouds with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from services.synthetic.training.metrics import (
    frechet_distance,
    kernel_distance,
    manifolds,
    squared_mmd,
)
from shared.errors import Malformed


def cloud(count: int, centre: float = 0.0, spread: float = 1.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(centre, spread, (count, 6)).astype(np.float32)


def test_the_squared_mmd_is_its_formula_summed_pair_by_pair():
    x, y = cloud(7), cloud(7, 0.5, seed=1)
    kernel = lambda a, b: (float(a @ b) / 6 + 1) ** 3  # noqa: E731 - as the paper writes it
    own = sum(
        kernel(z[i], z[j]) / (7 * 6) for z in (x, y) for i in range(7) for j in range(7) if i != j
    )
    across = sum(kernel(a, b) for a in x for b in y) / 49
    assert squared_mmd(x, y) == pytest.approx(own - 2 * across, rel=1e-5)


def test_the_kernel_distance_of_one_distribution_is_nothing_and_of_two_is_not():
    random = np.random.default_rng(0)
    same = kernel_distance(cloud(400), cloud(400, seed=1), random)
    other = kernel_distance(cloud(400), cloud(300, 1.0, seed=1), random)
    assert abs(same.mean) < 3 * same.deviation
    assert other.mean > 5 * other.deviation
    assert kernel_distance(cloud(400), cloud(400), random, subset=20).deviation > same.deviation


def test_the_manifolds_of_one_distribution_cover_each_other():
    found = manifolds(cloud(500), cloud(500, seed=1))
    assert found.precision > 0.8
    assert found.recall > 0.8
    assert found.density == pytest.approx(1.0, abs=0.15)
    assert found.coverage > 0.9


def test_far_pictures_have_neither_precision_nor_recall():
    assert manifolds(cloud(60), cloud(60, 50.0)) == (0.0, 0.0, 0.0, 0.0)


def test_pictures_all_alike_are_precise_and_cover_little():
    found = manifolds(cloud(300), cloud(300, 0.0, 0.01, seed=1))
    assert found.precision == 1.0
    assert found.recall < 0.05
    assert found.coverage < 0.2


def test_the_frechet_distance_of_two_normal_clouds_is_known():
    """Means 3 apart in each of 6 dimensions, deviations 1 and 2: 6 * 9 + 6 * (1 + 4 - 2 * 2)."""
    found = frechet_distance(cloud(20_000), cloud(20_000, 3.0, 2.0, seed=1))
    assert found == pytest.approx(60, rel=0.02)
    assert frechet_distance(cloud(50), cloud(50)) == pytest.approx(0, abs=1e-4)


def test_too_few_pictures_are_refused():
    with pytest.raises(Malformed, match="four"):
        kernel_distance(cloud(3), cloud(100), np.random.default_rng(0))
    with pytest.raises(Malformed, match="neighbours"):
        manifolds(cloud(5), cloud(100))
