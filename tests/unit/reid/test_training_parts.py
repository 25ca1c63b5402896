from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch

from services.reid.core.identity import SAME_PERSON_SHARE
from services.reid.models.msp_loss import Levels, MspLossSettings
from services.reid.training.augmentation import erased, random_crops
from services.reid.training.calibration import cross_camera_pairs, fit_identity_prior
from services.reid.training.pixels import LabelledPixels
from services.reid.training.sampling import draw_pairs, epoch_batches
from services.reid.training.schedule import learning_rate_at, work_of
from services.reid.training.settings import Stage, TrainingSettings
from services.reid.training.trainer import held_out_ranking


def test_a_batch_holds_different_people_with_so_many_crops_each():
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(12), rng.integers(2, 20, 12))
    batches = epoch_batches(people, per_batch=4, crops=3, rng=rng)
    for batch in batches:
        names, counts = np.unique(people[batch], return_counts=True)
        assert len(names) == 4
        assert counts.tolist() == [3] * 4
    assert len(np.unique(np.concatenate(batches))) > 0.85 * len(people)


@pytest.mark.parametrize("negatives", ["random", "nearest"])
def test_pairs_are_one_positive_to_two_negatives_of_the_same_source(negatives):
    people = torch.arange(8).repeat_interleave(2)
    sources = (people >= 4).long()
    similarity = torch.rand((16, 16), generator=torch.Generator().manual_seed(0))
    settings = replace(TrainingSettings(), negatives=negatives)
    pairs = draw_pairs(similarity, people, sources, settings, torch.Generator().manual_seed(1))
    assert pairs.same.sum() * 2 == (~pairs.same).sum()
    assert torch.equal(people[pairs.left] == people[pairs.right], pairs.same)
    assert torch.equal(sources[pairs.left], sources[pairs.right])
    assert not (pairs.left == pairs.right).any()


def test_the_first_pairs_are_of_several_people():
    """The low-level loss compares but those of the first few anchors."""
    people, sources = torch.arange(8).repeat_interleave(4), torch.zeros(32, dtype=torch.long)
    settings = TrainingSettings()
    pairs = draw_pairs(torch.eye(32), people, sources, settings, torch.Generator().manual_seed(1))
    first = settings.low_level_anchors * (1 + settings.negatives_per_anchor)
    assert len(people[pairs.left[:first]].unique()) > 1
    assert sorted(pairs.left.unique().tolist()) == list(range(32))


def test_the_nearest_negatives_are_the_most_alike():
    people, sources = torch.arange(6).repeat_interleave(2), torch.zeros(12, dtype=torch.long)
    similarity = torch.rand((12, 12), generator=torch.Generator().manual_seed(0))
    settings = replace(TrainingSettings(), negatives="nearest", negatives_per_anchor=1)
    pairs = draw_pairs(similarity, people, sources, settings, torch.Generator().manual_seed(1))
    for left, right in zip(pairs.left[~pairs.same], pairs.right[~pairs.same], strict=True):
        others = similarity[left][people != people[left]]
        assert similarity[left, right] == others.max()


def test_augmentation_cuts_mirrors_and_normalises():
    pixels = torch.randint(0, 255, (32, 160, 64, 3), dtype=torch.uint8)
    cut = random_crops(pixels, torch.Generator().manual_seed(0))
    assert cut.shape == (32, 3, 144, 56)
    windows = {
        (top, left, mirrored): window.flip(2) if mirrored else window
        for top in range(17)
        for left in range(9)
        for mirrored in (False, True)
        for window in [
            (pixels[0, top : top + 144, left : left + 56].permute(2, 0, 1) / 255 - 0.4) / 0.25
        ]
    }
    assert sum(torch.allclose(cut[0], window, atol=1e-5) for window in windows.values()) == 1


def test_erasing_blots_out_one_rectangle_of_its_share_of_crops():
    crops = torch.ones(400, 3, 144, 56)
    left = erased(crops, 0.3, torch.Generator().manual_seed(0))
    gone = (left == 0).all(dim=1)
    assert torch.equal(gone, (left == 0).any(dim=1))
    hit = gone.any(dim=(1, 2))
    assert 0.2 < hit.float().mean() < 0.4
    rows, columns = gone.any(dim=2).sum(dim=1), gone.any(dim=1).sum(dim=1)
    assert torch.equal(gone.sum(dim=(1, 2)), rows * columns)
    shares = gone[hit].float().mean(dim=(1, 2))
    assert shares.min() > 0.01
    assert shares.max() < 0.32
    assert torch.equal(erased(crops, 0.0, torch.Generator()), crops)


def test_the_rate_rises_then_falls_to_nearly_nothing():
    settings = TrainingSettings(stages=(Stage(epochs=10),), warm_up_epochs=2)
    rates = [learning_rate_at(epoch, settings) for epoch in np.linspace(0, 10, 101)]
    assert np.argmax(rates) == 20
    assert max(rates) == pytest.approx(settings.learning_rate)
    assert rates[-1] < 0.01 * max(rates)


def test_the_work_of_small_pictures_is_their_areas_share():
    settings = TrainingSettings(stages=(Stage(epochs=8, shrink=2), Stage(epochs=2)))
    assert work_of(settings, 0) == pytest.approx(4.0)
    assert work_of(settings, 4) == pytest.approx(3.0)
    assert work_of(settings, 7.5, 8.5) == pytest.approx(0.625)


def test_the_low_level_loss_costs_time_only_where_it_counts():
    stages = (Stage(epochs=1, low_level=True),)
    whole = TrainingSettings(stages=stages)
    without = TrainingSettings(stages=stages, loss=MspLossSettings(levels=Levels.HIGH))
    assert work_of(without, 0) == 1.0 < work_of(whole, 0)


def test_a_prior_recovers_the_logistic_law_that_made_its_pairs():
    rng = np.random.default_rng(0)
    similarity = rng.uniform(-0.2, 1.0, 40_000).astype(np.float32)
    same = rng.random(40_000) < 1 / (1 + np.exp(-(12 * similarity - 8)))
    prior = fit_identity_prior(similarity, same)
    balance = same.mean() / (1 - same.mean())
    shift = np.log(SAME_PERSON_SHARE / (1 - SAME_PERSON_SHARE) / balance)
    assert prior.slope == pytest.approx(12, rel=0.05)
    assert prior.offset == pytest.approx(-8 + shift, rel=0.05)


def test_separable_pairs_give_a_finite_prior():
    similarity = np.array([0.1, 0.2, 0.8, 0.9], np.float32)
    prior = fit_identity_prior(similarity, similarity > 0.5)
    assert np.isfinite([prior.slope, prior.offset]).all()
    assert prior.slope > 0


def test_one_kind_of_pair_is_no_ground_for_a_prior():
    with pytest.raises(ValueError, match="pairs of two"):
        fit_identity_prior(np.array([0.5], np.float32), np.array([True]))


def test_only_pairs_of_two_cameras_of_one_place_count():
    vectors = np.eye(4, dtype=np.float32)
    similarity, same = cross_camera_pairs(
        vectors, np.array([0, 0, 0, 1]), np.array([1, 2, 1, 3]), np.array([0, 0, 0, 1])
    )
    assert len(similarity) == 2
    assert same.all()


def test_pairs_take_the_memory_of_their_similarities_and_not_of_their_vectors():
    vectors = np.eye(300, 256, dtype=np.float32)
    people, cameras = np.arange(300) // 2, np.arange(300) % 3
    tracemalloc.start()
    similarity, same = cross_camera_pairs(vectors, people, cameras, np.zeros(300, np.int64))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (len(similarity), same.sum()) == (3 * 100 * 100, 150)
    assert peak < 5_000_000


def test_one_crop_of_each_person_and_camera_is_enough_to_be_ranked():
    """VIPeR's: two people, two cameras; the second person's crops look like the first one's."""
    people, cameras = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
    pixels = torch.zeros(4, 160, 64, 3, dtype=torch.uint8)
    data = LabelledPixels(pixels, people, cameras, torch.zeros(4, dtype=torch.int64), people)
    east, north = [1.0, 0.0], [0.0, 1.0]
    assert held_out_ranking(torch.tensor([east, east, north, north]), data).rank(1) == 1.0
    assert held_out_ranking(torch.tensor([east, north, north, east]), data).rank(1) == 0.0
