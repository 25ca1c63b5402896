from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from services.reid.embedder import Embedder
from services.reid.models.msp_loss import Levels, MspLossSettings
from services.reid.training.__main__ import app
from services.reid.training.augmentation import centre_crops
from services.reid.training.crops import of_market_names, training_crops
from services.reid.training.pixels import hold_out, read_training
from services.reid.training.settings import RECIPES, Network, Stage, TrainingSettings
from services.reid.training.trainer import Device, Trainer, features_of
from services.reid.training.workshop import Workshop
from shared.errors import Malformed, Missing
from shared.inference import Provider, open_session
from shared.model_store import ModelStore

TINY = TrainingSettings(
    stages=(Stage(epochs=1, shrink=4), Stage(epochs=1, shrink=4, low_level=True)),
    people=4,
    crops=2,
    low_level_anchors=1,
    held_out=0.25,
    warm_up_epochs=0.5,
)
CPU = Device("cpu", bf16=False)


def write_people(folder, people, rng, cameras=2, crops=3):
    """Every person has their own shirt and trousers; every camera its own light."""
    folder.mkdir(parents=True)
    for person in people:
        shirt, trousers = rng.integers(40, 220, (2, 3))
        for camera in range(1, cameras + 1):
            for n in range(crops):
                pixels = np.full((128, 64, 3), 90 + 20 * camera, np.uint8)
                pixels[30:70, 16:48], pixels[70:120, 18:46] = shirt, trousers
                noise = rng.normal(0, 6, pixels.shape) + 10 * camera
                noisy = np.clip(pixels + noise, 0, 255).astype(np.uint8)
                cv2.imwrite(str(folder / f"{person:04}_c{camera}s1_{n:06}_00.jpg"), noisy)


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    root, rng = tmp_path_factory.mktemp("town"), np.random.default_rng(0)
    write_people(root / "train", range(1, 9), rng)
    write_people(root / "query", range(20, 25), np.random.default_rng(1), crops=1)
    write_people(root / "gallery", range(20, 25), np.random.default_rng(1), crops=2)
    return root


def test_market_names_say_who_and_which_camera(tmp_path):
    (crop,) = of_market_names([tmp_path / "0002_c3s1_000451_03.jpg"])
    assert (crop.person, crop.camera) == (2, 3)
    (junk,) = of_market_names([tmp_path / "-1_c1s1_000451_03.jpg"])
    assert junk.person == -1
    with pytest.raises(Malformed, match="Market"):
        of_market_names([tmp_path / "holiday.jpg"])


def test_a_folder_without_crops_is_missing(tmp_path):
    with pytest.raises(Missing, match="neither"):
        training_crops(tmp_path)


def test_a_folder_of_junk_and_a_torn_crop_are_told_by_their_paths(tmp_path):
    write_people(tmp_path / "train", [0], np.random.default_rng(5), crops=1)
    with pytest.raises(Missing, match=f"{tmp_path} shows nobody"):
        read_training([tmp_path])
    torn = tmp_path / "train" / "0001_c1s1_000001_00.png"
    torn.write_bytes(b"torn")
    with pytest.raises(Malformed, match=f"{torn} is no whole"):
        read_training([tmp_path])


def test_people_and_cameras_of_two_folders_are_never_the_same(town, tmp_path):
    write_people(tmp_path / "train", range(1, 4), np.random.default_rng(5))
    data = read_training([town, tmp_path])
    assert data.identities == 11
    assert len(torch.unique(data.cameras)) == 4
    assert data.people.min() == 0
    assert data.people.max() == 10


def test_whoever_is_held_out_is_not_trained_on(town, tmp_path):
    write_people(tmp_path / "train", range(1, 5), np.random.default_rng(5))
    data = read_training([town, tmp_path])
    kept, held = hold_out(data, 0.25, seed=3)
    assert (kept.identities, held.identities) == (9, 3)
    assert sorted(torch.unique(held.sources).tolist()) == [0, 1]
    shown = {crop.numpy().tobytes() for crop in kept.pixels}
    assert not any(crop.numpy().tobytes() in shown for crop in held.pixels)


def test_training_and_serving_see_the_same_centre_crop(model_of_town):
    stored, _ = model_of_town
    crop = np.random.default_rng(0).integers(0, 255, (160, 64, 3), dtype=np.uint8)
    served = Embedder(stored, open_session(stored.path, provider=Provider.CPU))._prepare(crop)
    trained = centre_crops(torch.from_numpy(crop)[None])[0].numpy()
    assert np.allclose(served, trained, atol=1e-5)


@pytest.mark.parametrize("network", Network)
def test_a_resumed_training_ends_where_an_unbroken_one_does(town, tmp_path, network):
    torch.set_num_threads(1)
    data = read_training([town])
    settings = replace(TINY, network=network, erasing=0.5)
    unbroken, first, second = (Trainer(data, settings, CPU) for _ in range(3))
    unbroken.run(tmp_path / "unbroken.pt", lambda _: None)
    first._epoch(lambda _: None)
    first.epochs_done = 1
    first.save(tmp_path / "half.pt")
    second.resume(tmp_path / "half.pt")
    second.run(tmp_path / "half.pt", lambda _: None)
    for name, value in unbroken.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name]), name


@pytest.mark.parametrize("levels", Levels)
def test_the_rows_of_table_5_differ_in_what_they_compare_and_in_nothing_else(town, levels):
    settings = replace(TINY, loss=MspLossSettings(levels=levels))
    trainer = Trainer(read_training([town]), settings, CPU)
    terms = []
    for epoch in range(2):
        trainer._epoch(lambda progress: terms.append((progress.epoch, progress.losses)))
        trainer.epochs_done = epoch + 1
    early, late = (
        {name for n, losses in terms if n == epoch for name in losses} - {"accuracy"}
        for epoch in (0, 1)
    )
    named = set(levels.value.split("+"))
    assert early == named - {"low"}
    assert late == named
    whole = Trainer(trainer.data, TINY, CPU)
    first = []
    whole._epoch(lambda progress: first.append(progress.losses))
    assert first[0]["class"] == terms[0][1]["class"]


@pytest.mark.parametrize("network", Network)
def test_a_training_may_start_from_anothers_features(town, tmp_path, network):
    data, settings = read_training([town]), replace(TINY, network=network)
    other = Trainer(hold_out(data, 0.5, 0)[0], settings, CPU)
    other.save(tmp_path / "other.pt")
    trainer = Trainer(data, replace(settings, seed=99), CPU)
    trainer.start_from(tmp_path / "other.pt")
    head = trainer.objective.head_name
    for name, value in other.network.state_dict().items():
        assert name.startswith(head) or torch.equal(value, trainer.network.state_dict()[name])
    features = features_of(trainer, data)
    guesses = trainer.objective.head(trainer.objective.classified(features)).argmax(1)
    assert (guesses == data.people).float().mean() > 0.3


@pytest.fixture(scope="module", params=Network)
def model_of_town(request, town, tmp_path_factory):
    """Trained by the command itself, for as short as it goes. Returns the model and its store."""
    folder = tmp_path_factory.mktemp("trained")
    arguments = ["train", "--data", str(town), "--out", str(folder / "models" / "tiny")]
    arguments += ["--small-epochs", "1", "--epochs", "0", "--low-level-epochs", "0"]
    arguments += ["--network", str(request.param)]
    arguments += ["--people", "4", "--held-out", "0.25"]
    arguments += ["--checkpoint", str(folder / "tiny.pt")]
    run = CliRunner().invoke(app, arguments)
    assert run.exit_code == 0, run.output
    return ModelStore(folder / "models").load("tiny"), folder


def test_training_leaves_a_model_in_the_store_with_a_whole_card(model_of_town):
    stored, _ = model_of_town
    card = stored.card
    assert card.input.shape == (-1, 3, 144, 56)
    assert card.outputs == ("vector",)
    assert np.isfinite([card.identity.slope, card.identity.offset]).all()
    assert card.training_data.endswith("6 people, 36 crops")
    assert 0 <= card.metrics["held_out_rank1"] <= 1
    assert "research" in card.licence


def test_a_card_tells_which_network_it_is_of_and_whose_paper(model_of_town):
    card = model_of_town[0].card
    is_msp = card.settings["network"] == Network.MSP_CNN
    assert ("MSP-CNN" in card.summary) is is_msp
    assert ("Omni-Scale" in card.paper) is not is_msp
    # 1.79 M and 1.13 M: without the head, which is for training alone.
    assert round(card.parameters / 1e6, 2) == (1.79 if is_msp else 1.13)


@pytest.mark.parametrize(
    "foreign", [("--low-level-epochs", "1"), ("--levels", "class"), ("--dropout", "0.2")]
)
def test_what_is_msp_cnns_alone_is_refused_for_another_network(town, tmp_path, foreign):
    arguments = ["train", "--data", str(town), "--out", str(tmp_path / "m"), "--network", "osnet"]
    run = CliRunner().invoke(app, [*arguments, *foreign])
    assert run.exit_code == 2
    assert f"osnet has no {foreign[0]}" in run.output


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_holding_out_nobody_or_everybody_is_refused_before_training_and_not_after(town, share):
    with pytest.raises(Malformed, match="fewer than two"):
        hold_out(read_training([town]), share, seed=0)


@pytest.mark.parametrize(
    ("cameras", "changes", "code"),
    [
        (2, {"people": 16}, "too_few_people"),
        (1, {}, "held_out"),
        (2, {"stages": (Stage(epochs=0),)}, "no_epochs"),
    ],
)
def test_what_would_end_without_a_model_is_refused_before_training(
    tmp_path, cameras, changes, code
):
    write_people(tmp_path / "train", range(1, 9), np.random.default_rng(0), cameras, crops=1)
    with pytest.raises(Malformed) as refused:
        Workshop.open([tmp_path], replace(TINY, **changes), tmp_path / "m.pt")
    assert refused.value.code == code


def test_the_exported_model_says_what_the_network_says(model_of_town, town):
    stored, folder = model_of_town
    data = read_training([town])
    kept, _ = hold_out(data, 0.25, TrainingSettings().seed)
    recipe = RECIPES[Network(stored.card.settings["network"])]
    trainer = Trainer(kept, replace(recipe, stages=(Stage(epochs=1, shrink=2),)), CPU)
    trainer.resume(folder / "tiny.pt")
    embedder = Embedder(stored, open_session(stored.path, provider=Provider.CPU))
    served = embedder.embed([crop.numpy() for crop in data.pixels[:6]])
    own = features_of(trainer, data)[:6].numpy()
    assert np.allclose(served, own, atol=1e-4)
    assert np.allclose(np.linalg.norm(served, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("model", ["tiny", "histogram"])
def test_evaluation_prints_one_json_object_as_its_last_line(model_of_town, town, model):
    _, folder = model_of_town
    arguments = ["evaluate", "--data", str(town), "--protocol", "folder", "--json"]
    arguments += ["--model", model, "--models", str(folder / "models")]
    run = CliRunner().invoke(app, arguments)
    assert run.exit_code == 0, run.output
    figures = json.loads(run.stdout.splitlines()[-1])
    shares = {"rank1", "rank5", "rank10", "rank20", "map", "map_trapezoid"}
    bounds = {f"{name}_{end}" for name in shares for end in ("low", "high")}
    assert set(figures) == shares | bounds | {"trials", "queries", "gallery"}
    assert (figures["queries"], figures["gallery"]) == (10, 20)
    assert 0 <= figures["rank1"] <= figures["rank5"] <= 1


def test_figures_of_a_benchmark_can_join_the_card(model_of_town, town):
    _, folder = model_of_town
    arguments = ["evaluate", "--data", str(town), "--protocol", "folder", "--json"]
    arguments += ["--model", "tiny", "--models", str(folder / "models"), "--record", "town"]
    figures = json.loads(CliRunner().invoke(app, arguments).stdout.splitlines()[-1])
    metrics = ModelStore(folder / "models").load("tiny").card.metrics
    assert metrics["town_rank1"] == figures["rank1"]
    assert metrics["town_map"] == figures["map"]
    assert "held_out_rank1" in metrics


def test_a_protocol_that_does_not_exist_is_answered_with_those_that_do(town):
    run = CliRunner().invoke(app, ["evaluate", "--data", str(town), "--protocol", "imagenet"])
    assert run.exit_code == 2
    assert "market" in run.output
