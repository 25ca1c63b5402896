"""Labelled people -> a model that knows them better, which is stored only where it does."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from services.reid.embedder import Embedder
from services.reid.models.msp_cnn import MspCnn, UnitVectors, shrunk
from services.reid.models.osnet import OsNet
from services.reid.retraining import NOT_ITS_ROLE, RetrainingParams, retrain, why_not_here
from services.reid.training.folding import unfold
from services.reid.training.roster import Roster, is_held_out
from services.reid.training.winner import share_not_learnt
from shared.bus import Bus
from shared.errors import CityBrainError, Conflict
from shared.images import decode
from shared.inference import Provider, open_session
from shared.jobs import JobCancelled, JobContext
from shared.made_data import LabelPolicy, MadeData
from shared.model_store import ModelStore
from tests.drawn_people import SHIPPED, SHRINK, drawn, untaught, write_people

REAL, MADE, FEW, OTHER = (f"{n:026}" for n in range(1, 5))
PEOPLE, EPOCHS, SHARE = 40, 4, 0.4


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shipped")
    untaught(folder)
    return folder


@pytest.fixture
def home(shipped, redis_server, tmp_path, monkeypatch):
    """Of a re-ID service, by its environment; nothing is activated."""
    monkeypatch.setenv("CITYBRAIN_HOME", str(tmp_path))
    monkeypatch.setenv("MODELS_FOLDER", str(shipped))
    monkeypatch.setenv("REID_MODEL", "untaught")
    monkeypatch.setenv("BUS_URL", redis_server.url)
    asyncio.run(flush(redis_server.url))
    (tmp_path / "job").mkdir()
    return tmp_path


async def flush(url: str) -> None:
    bus = Bus(url)
    await bus.redis.flushall()
    await bus.close()


def shelf(home):
    return home / "synthetic" / "datasets"


def params(**changes) -> RetrainingParams:
    usual = {"labelled": REAL, "epochs": EPOCHS, "held_out": SHARE, "learning_rate": 3e-3}
    return RetrainingParams(**(usual | {"activate": False} | changes))


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


def test_a_run_that_is_cut_off_resumes_and_what_made_data_was_worth_is_written_down(home):
    write_people(shelf(home) / REAL, range(1, PEOPLE + 1))
    write_people(
        shelf(home) / MADE, range(1, PEOPLE + 1), cameras=(3,), crops=1, policy=LabelPolicy.LSR
    )
    cut_off = Watched(home / "job", stop_at=f"epoch {EPOCHS}/")
    with pytest.raises(JobCancelled):
        retrain(params(made=(MADE,)), cut_off)
    assert ModelStore(home / "models").names == ()
    resumed = Watched(home / "job")
    result = retrain(params(made=(MADE,)), resumed)
    steps = [note for note in resumed.notes if note.startswith("epoch")]
    assert steps[0].startswith(f"epoch {EPOCHS}/"), "the last checkpoint was before it"
    assert steps[-1].startswith(f"epoch {EPOCHS}/")
    assert "without made data" in steps[-1]
    found = result["contest"]
    assert (result["better"], result["why_not"], result["activated"]) == (True, [], False)
    assert (result["base"], result["model"]) == ("untaught", "untaught-own-1")
    assert found["gain"]["low"] > 0
    assert found["candidate"]["map"] > found["serving"]["map"]
    held_out = sum(is_held_out(person, SHARE) for person in range(1, PEOPLE + 1))
    assert (result["people_held_out"], result["people_learnt"]) == (held_out, PEOPLE - held_out)
    check_card(home, found)
    verdict = MadeData.read(shelf(home) / MADE).manifest.verdict
    assert verdict.outcome == result["made"]
    assert (verdict.outcome == "gain") is (found["made_gain"]["low"] > 0)
    assert verdict.figures["map_without"] == found["without_made"]["map"]
    left = {path.name for path in (home / "job").iterdir()}
    assert left == {"plan.json", "judged.json", "result.json"}
    assert retrain(params(made=(MADE,)), Watched(home / "job")) == result, "an end is written once"


def check_card(home, found) -> None:
    stored = ModelStore(home / "models").load("untaught-own-1")
    card, lineage = stored.card, stored.card.settings["lineage"]
    assert (lineage["base"], lineage["root"], lineage["job_id"]) == ("untaught",) * 2 + ("01JOB",)
    labelled = MadeData.read(shelf(home) / REAL).manifest
    assert (lineage["labelled"]["id"], lineage["labelled"]["sha256"]) == (REAL, labelled.sha256)
    assert [made["id"] for made in lineage["made"]] == [MADE]
    assert lineage["held_out"] == share_not_learnt(card) == SHARE
    assert card.metrics["contest_map"] == round(found["candidate"]["map"], 4)
    assert card.metrics["held_out_map"] == pytest.approx(found["candidate"]["map"])
    embedder = Embedder(stored, open_session(stored.path, provider=Provider.CPU))
    (vector,) = embedder.embed([decode(drawn(1, 1, 0), "rgb")])
    assert np.isclose(np.linalg.norm(vector), 1, atol=1e-5)


def test_a_model_that_is_no_better_is_not_stored(home):
    write_people(shelf(home) / REAL, range(1, PEOPLE + 1), crops=1)
    result = retrain(params(epochs=1, learning_rate=1e-9), Watched(home / "job"))
    assert (result["better"], result["activated"], result["model"]) == (False, False, None)
    assert "it might be no better" in result["why_not"][0]
    assert result["made"] is None
    assert ModelStore(home / "models").names == ()


def test_nobody_is_asked_for_whom_the_serving_model_has_learnt(home, shipped, monkeypatch):
    """It was spared a smaller share of the people than this training holds out."""
    write_people(shelf(home) / REAL, range(1, PEOPLE + 1), crops=1)
    roster = Roster.read(shelf(home) / REAL, SHARE, 0.3)
    both = [person for person in range(1, PEOPLE + 1) if is_held_out(person, 0.3)]
    assert sorted(set(roster.held_out.named.tolist())) == both
    assert not any(is_held_out(person, SHARE) for person in roster.learnt.named.tolist())
    assert roster.learnt.identities + len(both) < PEOPLE
    untaught = ModelStore(shipped).load("untaught")
    settings = {**untaught.card.settings, "lineage": {"root": "untaught", "held_out": 0.25}}
    changes = {"name": "taught", "settings": settings}
    ModelStore(home / "models").save(untaught.card.model_copy(update=changes), untaught.path)
    monkeypatch.setenv("REID_MODEL", "taught")
    with pytest.raises(Conflict, match="25% that the serving model") as refused:
        retrain(params(), Watched(home / "job"))
    assert refused.value.code == "too_few_people"


def test_a_card_tells_the_least_share_that_nobody_of_its_line_has_learnt(shipped):
    card = ModelStore(shipped).load("untaught").card
    assert share_not_learnt(card) == 1.0
    older = {**card.settings, "held_out": 0.3, "lineage": {"root": "untaught"}}
    assert share_not_learnt(card.model_copy(update={"settings": older})) == 0.3
    newer = {**older, "lineage": {"held_out": 0.1}}
    assert share_not_learnt(card.model_copy(update={"settings": newer})) == 0.1


def test_data_sets_that_nothing_can_be_learnt_from_are_refused_by_name(home):
    write_people(shelf(home) / REAL, range(1, PEOPLE + 1), crops=1)
    write_people(shelf(home) / FEW, range(1, 12), crops=1)
    write_people(shelf(home) / MADE, range(1, 20), crops=1, policy=LabelPolicy.HARD)
    write_people(shelf(home) / OTHER, range(900, 903), crops=1, policy=LabelPolicy.HARD)
    asked = {
        "no_manifest": params(labelled=f"{9:026}"),
        "too_few_people": params(labelled=FEW),
        "made_labels": params(labelled=MADE),
        "nobody_known": params(made=(OTHER,)),
    }
    for code, one in asked.items():
        with pytest.raises(CityBrainError) as refused:
            retrain(one, Watched(home / "job"))
        assert refused.value.code == code
    picture = next((shelf(home) / REAL / "images").iterdir())
    picture.write_bytes(picture.read_bytes() + b"!")
    with pytest.raises(CityBrainError) as refused:
        retrain(params(), Watched(home / "job"))
    assert refused.value.code == "file_checksum"


def test_who_is_held_out_does_not_depend_on_who_else_is_there():
    held_out = [person for person in range(1, 2001) if is_held_out(person, 0.25)]
    assert 450 < len(held_out) < 550
    assert set(held_out) < {person for person in range(1, 2001) if is_held_out(person, 0.4)}


@pytest.mark.parametrize("training", [False, True], ids=["served", "in training"])
def test_training_goes_on_from_what_the_file_says(shipped, training):
    stored = ModelStore(shipped).load("untaught")
    crops = torch.rand(16, 3, 144, 56, generator=torch.Generator().manual_seed(1)) * 4 - 2
    network = MspCnn(identities=3)
    unfold(network, "fc8", stored.path, shrunk(crops, SHRINK))
    (expected,) = open_session(stored.path, provider=Provider.CPU)(crops.numpy())
    with torch.no_grad():
        vectors = UnitVectors(network.train(training), SHRINK)(crops)
    assert np.abs(vectors.numpy() - expected).max() < 1e-3


def test_a_file_of_another_network_cannot_be_gone_on_from():
    with pytest.raises(Conflict) as refused:
        unfold(OsNet(identities=2), "classifier", SHIPPED.load("msp-cnn").path, torch.zeros(1))
    assert refused.value.code == "not_trainable"


@pytest.mark.parametrize("data_set", ["", "..", "../../etc", "0" * 25, "x" * 26])
def test_a_data_set_s_id_becomes_part_of_a_path_and_is_looked_at_first(data_set):
    with pytest.raises(ValidationError):
        params(labelled=data_set)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_no_generator_takes_is_refused_when_it_is_ordered(seed):
    assert params(seed=2**32 - 1).seed == 2**32 - 1
    with pytest.raises(ValidationError):
        params(seed=seed)


def test_a_service_that_only_embeds_says_who_trains():
    assert why_not_here({"embed", "gallery"}) == NOT_ITS_ROLE
    assert why_not_here({"train"}) == ""


def test_serving_knows_the_jobs_without_importing_torch():
    code = (
        "import sys, json; from services.reid.app import KINDS;"
        "print(json.dumps(['torch' in sys.modules, sorted(KINDS)]))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, timeout=60
    )
    assert json.loads(printed.stdout) == [False, ["reid.collect", "reid.switch", "reid.train"]]
