"""A camera's footage -> fine-tuned weights, which serve it only where they are better."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from services.anomaly.scorer import Scorer
from services.anomaly.settings import AnomalySettings
from services.anomaly.training.activation import serving_model, take_over
from services.anomaly.training.warm_start import warm_network
from services.anomaly.tuning import NOT_ITS_ROLE, TuningParams, tune, why_not_here
from shared.bus import Bus
from shared.errors import Conflict
from shared.inference import Provider, open_session
from shared.jobs import JobCancelled, JobContext
from shared.model_store import ActivationMap, ModelStore
from tests.dummy_models import halving_autoencoder
from tests.tiny_stae import FPS, FRAMES, SIDE, record, street, untaught

FILMED, HELD_OUT, STEPS, CUT_OFF_AT = 1600, 0.5, 60, 55
FOOTAGE = "footage/gate/1"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """A store with a STAE that has learnt nothing."""
    folder = tmp_path_factory.mktemp("shipped")
    untaught(folder)
    return folder


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    """What was recorded of a camera: half of it, the end, is held out."""
    folder = tmp_path_factory.mktemp("blobs")
    record(folder, FOOTAGE, street(FILMED))
    return folder


@pytest.fixture
def home(shipped, blobs, redis_server, tmp_path, monkeypatch):
    """Of an anomaly service, by its environment; nothing is activated."""
    monkeypatch.setenv("CITYBRAIN_HOME", str(tmp_path))
    monkeypatch.setenv("MODELS_FOLDER", str(shipped))
    monkeypatch.setenv("BLOBS_FOLDER", str(blobs))
    monkeypatch.setenv("ANOMALY_MODEL", "stae-tiny")
    monkeypatch.setenv("BUS_URL", redis_server.url)
    asyncio.run(flush(redis_server.url))
    (tmp_path / "job").mkdir()
    return tmp_path


async def flush(url: str) -> None:
    bus = Bus(url)
    await bus.redis.flushall()
    await bus.close()


def params(**changes) -> TuningParams:
    usual = {"camera_id": "gate", "footage": FOOTAGE, "fps": FPS, "held_out": HELD_OUT}
    usual |= {"steps": STEPS, "learning_rate": 5e-3}
    return TuningParams(**(usual | changes))


class Watched(JobContext):
    """Remembers its notes, and stops at one of them."""

    def __init__(self, folder, stop_at: str = "never") -> None:
        super().__init__("01JOB", folder)
        self.notes: list[str] = []
        self._stop_at = stop_at

    def report(self, done, total, note=""):
        super().report(done, total, note)
        self.notes.append(note)
        if note.startswith(self._stop_at):
            self.stop.set()


def own_store(home) -> ModelStore:
    return ModelStore(home / "models")


def test_a_run_that_is_cut_off_resumes_and_its_better_model_serves_the_camera(home):
    cut_off = Watched(home / "job", stop_at=f"step {CUT_OFF_AT}/")
    with pytest.raises(JobCancelled):
        tune(params(), cut_off)
    assert not (home / "job" / "frames").exists(), "people are on them"
    assert own_store(home).names == ()
    resumed = Watched(home / "job")
    result = tune(params(), resumed)
    assert resumed.notes[0].startswith("step 51/"), "the last checkpoint was at step 50"
    assert (result["better"], result["activated"], result["why_not"]) == (True, True, [])
    assert (result["base"], result["model"]) == ("stae-tiny", "stae-tiny-gate-1")
    assert result["contest"]["candidate"]["auc"] > result["contest"]["serving"]["auc"] + 0.01
    assert serving_model("gate", AnomalySettings()) == "stae-tiny-gate-1"
    assert serving_model("door", AnomalySettings()) == "stae-tiny"
    check_card(home, result)
    left = {path.name for path in (home / "job").iterdir()}
    assert left == {"plan.json", "result.json"}
    assert tune(params(), Watched(home / "job")) == result, "an end is written once"


def check_card(home, result) -> None:
    stored = own_store(home).load("stae-tiny-gate-1")
    card = stored.card
    base = ModelStore(AnomalySettings().models_folder).load("stae-tiny")
    lineage = card.settings["lineage"]
    assert (lineage["base"], lineage["base_digest"]) == ("stae-tiny", base.digest)
    assert (lineage["camera_id"], lineage["job_id"]) == ("gate", "01JOB")
    assert (lineage["frames"], card.training_steps) == (FILMED, STEPS)
    assert card.metrics["contest_auc"] == round(result["contest"]["candidate"]["auc"], 4)
    assert 0 < card.anomaly.frame.q50 < base.card.anomaly.frame.q50, "read on held-out footage"
    scorer = Scorer(stored, open_session(stored.path, provider=Provider.CPU))
    assert scorer.score(list(street(FRAMES))).is_finite


def test_a_model_that_is_no_better_is_neither_stored_nor_activated(home):
    result = tune(params(steps=1, learning_rate=1e-9), Watched(home / "job"))
    assert (result["better"], result["activated"], result["model"]) == (False, False, None)
    assert any("AUC" in fault for fault in result["why_not"])
    assert own_store(home).names == ()
    assert serving_model("gate", AnomalySettings()) == "stae-tiny"


def test_too_little_footage_is_refused_by_name(home):
    with pytest.raises(Conflict) as refused:
        tune(params(footage="footage/gate/none"), Watched(home / "job"))
    assert refused.value.code == "too_little_footage"
    assert "16 that follow one another" in str(refused.value)


def test_a_model_that_is_no_stae_cannot_be_gone_on_from(home, blobs, monkeypatch):
    halving_autoencoder(home / "models")
    monkeypatch.setenv("ANOMALY_MODEL", "halves")
    record(blobs, "footage/gate/2", street(FILMED), clip=16)
    with pytest.raises(Conflict) as refused:
        tune(params(footage="footage/gate/2"), Watched(home / "job"))
    assert refused.value.code == "not_trainable"


def test_only_the_contested_model_is_replaced(home):
    settings = AnomalySettings()
    assert take_over("stae-tiny", "mine", "gate", settings)
    assert take_over("stae-tiny", "mine", "gate", settings), "a second time, after a crash"
    asyncio.run(activate(settings, "somebody-s"))
    assert not take_over("stae-tiny", "mine", "gate", settings)
    assert serving_model("gate", settings) == "somebody-s"


async def activate(settings, model: str) -> None:
    bus = Bus(settings.bus_url)
    await ActivationMap(bus.redis, "anomaly").activate(bus, model, "gate")
    await bus.close()


@pytest.mark.parametrize("training", [False, True], ids=["served", "in training"])
def test_training_goes_on_from_what_the_file_draws(shipped, training):
    """Though the file has neither batch norms nor the predicting decoder."""
    stored = ModelStore(shipped).load("stae-tiny")
    clips = torch.rand(4, 1, FRAMES, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    network = warm_network(stored.path, clips, leaky_slope=0.2).train(training)
    (expected,) = open_session(stored.path, provider=Provider.CPU)(clips.numpy())
    with torch.no_grad():
        output = network(clips)
    assert np.abs(output.reconstruction.numpy() - expected).max() < 1e-4
    assert torch.equal(output.prediction, output.reconstruction)


@pytest.mark.parametrize("camera_id", ["", "../gate", "gate/../..", "Gate", "a" * 65])
def test_a_camera_s_id_becomes_part_of_a_path_and_is_looked_at_first(camera_id):
    with pytest.raises(ValidationError):
        params(camera_id=camera_id)


def test_a_service_that_only_scores_says_who_trains():
    assert why_not_here({"score"}) == NOT_ITS_ROLE
    assert why_not_here({"score", "train"}) == ""


def test_serving_knows_the_job_without_importing_torch():
    code = (
        "import sys, json; from services.anomaly.app import KINDS;"
        "print(json.dumps(['torch' in sys.modules, sorted(KINDS)]))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, timeout=60
    )
    assert json.loads(printed.stdout) == [False, ["camera.train"]]
