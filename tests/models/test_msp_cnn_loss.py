from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from services.reid.models.msp_loss import (
    SIGMA_FLOOR,
    MspLossSettings,
    best_match,
    high_level_loss,
    low_level_loss,
)


def naive_best_match(a, b, settings):
    """Loops over positions, as the definition reads. a, b: (C, H, W)."""
    channels, height, width = a.shape
    reach = settings.patch // 2

    def patch(maps, y, x):
        padded = np.pad(maps, ((0, 0), (reach, reach), (reach, reach)))
        return padded[:, y : y + settings.patch, x : x + settings.patch].reshape(channels, -1)

    def ncc(p, q):
        n = p.size
        p, q = p - p.mean(), q - q.mean()
        sigma_p, sigma_q = (math.sqrt((v**2).sum() / (n - 1)) + SIGMA_FLOOR for v in (p, q))
        return (p * q).sum() / ((n - 1) * sigma_p * sigma_q)

    def similarity(p, q):
        if settings.joint:
            return ncc(p.ravel(), q.ravel())
        return np.mean([ncc(p[c], q[c]) for c in range(channels)])

    best = np.zeros((height, width))
    for y, x in itertools.product(range(height), range(width)):
        rows = range(max(0, y - settings.band), min(height, y + settings.band + 1))
        best[y, x] = max(
            similarity(patch(a, y, x), patch(b, v, u)) for v in rows for u in range(width)
        )
    return best


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize("band", [0, 2, 9])
def test_banded_matrix_products_find_what_naive_loops_find(joint, band):
    rng = torch.Generator().manual_seed(band)
    a, b = (torch.rand((2, 3, 6, 5), generator=rng) for _ in range(2))
    settings = MspLossSettings(band=band, joint=joint)
    found = best_match(a, b, settings)
    for n in range(2):
        expected = naive_best_match(a[n].numpy(), b[n].numpy(), settings)
        assert np.allclose(found[n].numpy(), expected, atol=1e-5)


def test_a_patch_that_has_moved_within_the_band_is_found_again():
    rng = torch.Generator().manual_seed(1)
    a = torch.rand((1, 4, 20, 10), generator=rng)
    shifted = torch.roll(a, shifts=(3, 2), dims=(2, 3))
    near, far = (
        best_match(a, shifted, MspLossSettings(band=band))[0, 5:12, 2:6] for band in (3, 2)
    )
    assert near.min() > 0.9
    assert far.max() < 0.8


def test_the_low_level_loss_pulls_one_persons_maps_together_and_pushes_two_apart():
    rng = torch.Generator().manual_seed(2)
    a = torch.rand((1, 4, 12, 8), generator=rng)
    settings = MspLossSettings(positive_above=0.2)
    for same, wanted in ((True, 1), (False, -1)):
        b = (0.6 * a + 0.4 * torch.rand(a.shape, generator=rng)).requires_grad_()
        label = torch.tensor([same])
        before = best_match(a, b, settings).mean()
        low_level_loss(a, b, label, settings).backward()
        after = best_match(a, b - 5.0 * b.grad, settings).mean()
        assert (after - before).sign() == wanted


def test_patches_that_everybody_shares_do_not_push_two_people_apart():
    maps = torch.rand((1, 4, 12, 8), generator=torch.Generator().manual_seed(3))
    settings = MspLossSettings(negative_below=0.5)
    assert low_level_loss(maps, maps, torch.tensor([False]), settings) == 0.0


def test_no_pairs_lose_nothing():
    """A batch may hold one person of a source, who has nobody to be told from."""
    none, same = torch.zeros(0, 256, requires_grad=True), torch.zeros(0, dtype=torch.bool)
    maps = torch.zeros(0, 4, 8, 6)
    assert high_level_loss(none, none, same, 1.0).item() == 0.0
    assert low_level_loss(maps, maps, same, MspLossSettings()).item() == 0.0


def test_the_high_level_loss_is_the_contrastive_loss_of_unit_vectors():
    rng = torch.Generator().manual_seed(4)
    a, b = (3.0 * torch.randn((6, 256), generator=rng) for _ in range(2))
    a[3:] = b[3:] + 0.2 * a[3:]
    same = torch.tensor([True, False, True, False, True, False])
    expected = 0.0
    for p, q, one_person in zip(a.numpy(), b.numpy(), same.tolist(), strict=True):
        d = np.linalg.norm(p / np.linalg.norm(p) - q / np.linalg.norm(q))
        expected += 0.5 * (d**2 if one_person else max(0.0, 1.0 - d) ** 2) / 6
    assert high_level_loss(a, b, same, 1.0).item() == pytest.approx(expected, rel=1e-4)


def test_two_people_with_the_very_same_feature_have_a_finite_slope():
    feature = torch.ones((1, 256), requires_grad=True)
    other = torch.ones((1, 256))
    high_level_loss(feature, other, torch.tensor([False]), 1.0).backward()
    assert torch.isfinite(feature.grad).all()
