from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.reid.embedder import Embedder
from services.reid.training.evaluate import evaluate
from services.reid.training.histogram import HistogramEmbedder
from services.reid.training.protocols import PROTOCOLS, Trial
from shared.inference import Provider, open_session
from shared.model_store import ModelStore

MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture(scope="module")
def shipped():
    return ModelStore(MODELS).load("msp-cnn")


@pytest.fixture(scope="module")
def embedder(shipped):
    return Embedder(shipped, open_session(shipped.path, provider=Provider.CPU))


def test_its_card_tells_what_serving_and_auditing_need(shipped):
    card = shipped.card
    assert round(card.parameters / 1e6, 2) == 1.79
    assert card.input.shape == (-1, 3, 144, 56)
    assert card.identity.slope > 0
    assert "research use" in card.licence
    assert {"market_split_rank1", "viper_rank1", "city_rank1"} <= card.metrics.keys()


def test_a_belief_rises_from_strangers_to_the_same_person(shipped):
    prior = shipped.card.identity
    beliefs = [
        1 / (1 + np.exp(-(prior.slope * similarity + prior.offset)))
        for similarity in (0.0, prior.different_person_q99, 1.0)
    ]
    assert beliefs[0] < 0.05
    assert beliefs[0] < beliefs[1] < beliefs[2]
    assert beliefs[2] > 0.9


def test_vectors_have_unit_length_for_crops_of_any_size(embedder):
    rng = np.random.default_rng(0)
    crops = [rng.integers(0, 255, (h, w, 3), dtype=np.uint8) for h, w in ((40, 16), (300, 120))]
    assert np.allclose(np.linalg.norm(embedder.embed(crops), axis=1), 1, atol=1e-5)


def test_it_finds_real_people_again_far_better_than_colours_do(embedder, data):
    (whole,) = PROTOCOLS["market"](data("Market-1501-train"))
    people = sorted({crop.person for crop in whole.query})[:24]
    trial = Trial(
        [crop for crop in whole.query if crop.person in people],
        [crop for crop in whole.gallery if crop.person in people],
    )
    learnt, colours = (
        evaluate(it, [trial], lambda _done, _total: None) for it in (embedder, HistogramEmbedder())
    )
    assert learnt.rank(1) > 0.7
    assert learnt.rank(1) > colours.rank(1) + 0.1
