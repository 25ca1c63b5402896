"""What two models are shown in their contest."""

from __future__ import annotations

import numpy as np
import pytest

from services.anomaly.training.footage import Recording
from services.anomaly.training.inventions import INVENTORS
from services.anomaly.training.recorded import fetch
from services.anomaly.training.rivalry import rivalry, takes_of
from shared.blobs import FolderBlobs
from shared.errors import Malformed
from shared.messages import Polygon
from shared.recorded_clip import JUDGED_FRAMES
from tests.dummy_models import averaging_autoencoder, halving_autoencoder
from tests.tiny_stae import FPS, record, street

WHOLE_VIEW = Polygon(points=((0, 0), (1, 0), (1, 1), (0, 1)))


@pytest.fixture
def clip(tmp_path) -> Recording:
    record(tmp_path / "blobs", "footage/gate/1", street(JUDGED_FRAMES))
    (one,) = fetch(
        FolderBlobs(tmp_path / "blobs"), "footage/gate/1", tmp_path / "f", fps=FPS, unwatched=()
    )
    return one


def test_a_clip_is_shown_as_it_was_and_with_each_kind_of_invention(clip):
    filmed, *invented = takes_of(clip, np.random.default_rng(0))
    assert filmed.counted.all()
    assert not filmed.invented
    assert len(invented) == len(INVENTORS)
    for take in invented:
        assert 0 < take.counted.sum() < len(take.frames)
        assert len(take.frames) == len(take.counted)


def test_what_happens_where_nothing_counts_is_no_anomaly(clip):
    unwatched = Recording(clip.name, clip.frames, (WHOLE_VIEW,))
    _, *invented = takes_of(unwatched, np.random.default_rng(0))
    assert not any(take.counted.any() for take in invented)


def test_a_model_does_not_win_against_itself_and_both_see_the_same(clip, tmp_path):
    model, told = averaging_autoencoder(tmp_path), []
    found = rivalry(model, model, [clip] * 3, seed=0, report=lambda *done: told.append(done))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert found.serving == found.candidate
    assert not found.is_won
    again = rivalry(model, model, [clip] * 3, seed=0, report=lambda done, of: None)
    assert again == found


def test_where_nobody_moves_nothing_can_be_judged(tmp_path):
    still = np.repeat(street(1), JUDGED_FRAMES, axis=0)
    record(tmp_path / "blobs", "footage/gate/1", still)
    (empty,) = fetch(
        FolderBlobs(tmp_path / "blobs"), "footage/gate/1", tmp_path / "f", fps=FPS, unwatched=()
    )
    model = halving_autoencoder(tmp_path)
    with pytest.raises(Malformed) as refused:
        rivalry(model, model, [empty], seed=0, report=lambda done, of: None)
    assert refused.value.code == "nothing_to_invent"
