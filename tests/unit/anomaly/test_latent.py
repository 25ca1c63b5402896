"""The density of STAE's code: an ablation's row, not a part of what serves."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from services.anomaly.core.sight import Sight
from services.anomaly.models.stae import Stae
from services.anomaly.scorer import Scorer
from services.anomaly.training.export import export
from services.anomaly.training.gathering import gather
from services.anomaly.training.latent import Encoder, LatentScorer, fit_latent
from shared.inference import Provider, open_session
from shared.model_store import ModelStore, sha256_of
from tests.dummy_models import halving_autoencoder
from tests.unit.anomaly.walker import walker

FRAMES, SIDE = 8, 32


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Stae().eval()


@pytest.fixture(scope="module")
def model(network, tmp_path_factory):
    """A STAE that has learnt nothing, in a store."""
    folder = tmp_path_factory.mktemp("models")
    card = halving_autoencoder(folder).card
    file = folder / "stae.onnx"
    export(network, file, channels=1, frames=FRAMES, side=SIDE)
    spec = card.input.model_copy(update={"shape": (-1, 1, FRAMES, SIDE, SIDE)})
    changes = {"name": "stae", "file": file.name, "input": spec, "sha256": sha256_of(file)}
    return ModelStore(folder).save(card.model_copy(update=changes), file)


@pytest.fixture(scope="module")
def density(model, tmp_path_factory):
    """Of a street on which somebody strolls."""
    folder = tmp_path_factory.mktemp("street")
    for n, speed in enumerate((1, 2, 1.5, 2.5)):
        (folder / "Train" / f"{n}").mkdir(parents=True)
        for k, frame in enumerate(walker(speed, frames=24)):
            cv2.imwrite(str(folder / "Train" / f"{n}" / f"{k:02}.png"), frame)
    return fit_latent(model, gather([folder], [], 0.25), seed=0)


def test_the_encoder_gives_the_networks_own_code(network, model):
    clip = np.random.default_rng(0).random((1, FRAMES, SIDE, SIDE), np.float32)
    with torch.inference_mode():
        expected = network.encoder(torch.from_numpy(clip[None]))[0].numpy()
    found = Encoder(model)(clip)
    assert found.shape == (FRAMES // 8, SIDE // 8, SIDE // 8, 64)
    assert np.abs(np.moveaxis(found, -1, 0) - expected).max() < 1e-4


def test_what_was_never_seen_is_farther_than_what_was(density):
    seen = Sight().clip(list(walker(2, frames=FRAMES)), width=SIDE, height=SIDE)
    usual = density.maps((seen[None] / 255).astype(np.float32))
    noise = density.maps(np.random.default_rng(0).random((1, FRAMES, SIDE, SIDE), np.float32))
    assert usual.shape == (FRAMES, SIDE // 8, SIDE // 8)
    assert np.median(noise) > 2 * np.median(usual)


def test_it_is_told_alone_or_added_to_what_the_model_says(model, density):
    session = open_session(model.path, provider=Provider.CPU)
    clip = list(walker(5, frames=FRAMES))
    plain = Scorer(model, session).score(clip)
    alone, both = (
        LatentScorer(model, session, density, alone=alone).score(clip) for alone in (True, False)
    )
    assert both.frame_errors == pytest.approx(plain.frame_errors + alone.frame_errors)
    assert both.maps == pytest.approx(plain.maps + alone.maps)
    assert np.ptp(alone.frame_errors) == 0  # eight frames have one code
