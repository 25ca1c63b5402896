from __future__ import annotations

import json
import re

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from services.anomaly.models.stae import Stae
from services.anomaly.scorer import Scorer
from services.anomaly.training.__main__ import app
from services.anomaly.training.ablation import BLENDED, RECONSTRUCTION
from services.anomaly.training.allocator import keep_freed_memory
from services.anomaly.training.export import TOLERANCE, export
from services.anomaly.training.footage import read_frame, recordings
from services.anomaly.training.regimes import Regime, RegimeSettings, model_traces
from services.anomaly.training.scoring import window_starts
from services.anomaly.training.settings import Precision, Stage, TrainingSettings
from services.anomaly.training.trainer import Trainer
from services.anomaly.training.windows import Source
from shared.errors import Conflict, Malformed
from shared.inference import Provider, open_session
from shared.model_store import ModelStore
from tests.dummy_models import halving_autoencoder

TINY = TrainingSettings(
    frames=8,
    side=32,
    stages=(Stage(steps=4, window=16, batch=3), Stage(steps=2, window=32, batch=2)),
    learning_rate=3e-3,
)


def write_clip(folder, frames, start=0, jump_at=None):
    """A bright square that walks to the right on a gray street, and may jump."""
    folder.mkdir(parents=True)
    for n in range(frames):
        pixels = np.full((32, 32), 90, dtype=np.uint8)
        column = (start + n + (12 if jump_at is not None and n >= jump_at else 0)) % 24
        pixels[12:20, column : column + 8] = 220
        cv2.imwrite(str(folder / f"{n:03}.png"), pixels)


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    folder = tmp_path_factory.mktemp("street")
    for n in range(3):
        write_clip(folder / "Train" / f"{n}", 24, start=5 * n)
    for n in range(2):
        write_clip(folder / "Test" / f"{n}", 16, start=3 * n, jump_at=8)
    np.save(folder / "labels.npy", np.tile(np.arange(16) >= 8, 2))
    return folder


def trainer_in(workspace, street, settings=TINY):
    sources = [Source("street", recordings(street, "Train"), 1.0)]
    return Trainer(settings, sources, workspace)


def test_the_learning_rate_warms_up_then_falls_to_nothing():
    stages = (Stage(steps=900, window=64, batch=2), Stage(steps=100, window=128, batch=2))
    settings = TrainingSettings(stages=stages, learning_rate=1e-3, warm_up=0.1)
    rates = [settings.learning_rate_at(step) for step in range(1000)]
    assert np.argmax(rates) == 100
    assert max(rates) == pytest.approx(1e-3)
    assert np.all(np.diff(rates[:100]) > 0)
    assert np.all(np.diff(rates[100:]) < 0)
    assert 0.0 < rates[-1] < 1e-8


def test_precision_follows_the_wish_and_the_hardware():
    cpu = torch.device("cpu")
    assert TrainingSettings(precision=Precision.BF16).uses_bf16(cpu)
    assert not TrainingSettings(precision=Precision.FP32).uses_bf16(cpu)
    has_bf16 = torch.cpu._is_avx512_bf16_supported()
    assert TrainingSettings().uses_bf16(cpu) == has_bf16


def test_freed_memory_is_kept_where_the_c_library_can():
    assert keep_freed_memory() in (True, False)
    assert torch.zeros(10_000_000).sum() == 0.0


def test_training_says_how_far_it_is_and_changes_the_network(tmp_path, street):
    trainer = trainer_in(tmp_path, street)
    before = trainer.network.encoder[0].weight.detach().clone()
    said = []
    network = trainer.run(said.append, every_steps=2)
    assert [line.split("  ")[0] for line in said] == ["step 2/6", "step 4/6", "step 6/6"]
    assert said[-1].endswith("0 min left")
    assert not network.training
    assert not torch.equal(before, network.encoder[0].weight)


def test_a_run_that_was_cut_off_ends_as_one_that_was_not(tmp_path, street):
    whole = trainer_in(tmp_path / "whole", street).run(lambda _: None)
    cut_off = trainer_in(tmp_path / "cut", street)

    def stop_halfway(line):
        if line.startswith("step 4/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_off.run(stop_halfway, every_steps=1, save_every=3)
    resumed = trainer_in(tmp_path / "cut", street)
    assert resumed.step == 3
    again = resumed.run(lambda _: None)
    for name, weight in whole.state_dict().items():
        assert torch.allclose(weight, again.state_dict()[name], atol=1e-6), name


def test_another_runs_workspace_is_not_taken_over(tmp_path, street):
    trainer_in(tmp_path, street).run(lambda _: None)
    with pytest.raises(Conflict, match="other settings"):
        trainer_in(tmp_path, street, TINY.model_copy(update={"seed": 1}))


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_the_exported_file_takes_any_number_of_clips_and_equals_the_network(tmp_path, channels):
    torch.manual_seed(0)
    network = Stae(frame_channels=channels).eval()
    file = tmp_path / "stae.onnx"
    assert export(network, file, channels=channels, frames=8, side=16) <= TOLERANCE
    session = open_session(file, provider=Provider.CPU)
    clips = torch.rand(3, channels, 8, 16, 16)
    with torch.no_grad():
        expected = network(clips).reconstruction.numpy()
    (found,) = session(clips.numpy())
    assert np.abs(found - expected).max() <= TOLERANCE


def test_windows_cover_every_frame_to_the_last():
    assert window_starts(16, clip=16, stride=4) == [0]
    assert window_starts(23, clip=16, stride=4) == [0, 4, 7]
    for frames in range(16, 60):
        covered = {
            start + n for start in window_starts(frames, clip=16, stride=16) for n in range(16)
        }
        assert covered == set(range(frames))


@pytest.fixture(scope="module")
def trained(street, tmp_path_factory):
    """The store, and what training printed."""
    folder = tmp_path_factory.mktemp("trained")
    arguments = ["train", "--data", str(street), "--out", str(folder / "models" / "stae-street")]
    arguments += ["--frames", "8", "--side", "16", "--window", "8", "--window-steps", "2"]
    arguments += ["--steps", "1", "--threads", "2"]
    arguments += ["--smooth-frames", "3", "--workspace", str(folder / "work")]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return ModelStore(folder / "models"), result.output


def test_training_ends_with_a_model_whose_card_serving_can_read(trained):
    store, output = trained
    stored = store.load("stae-street")
    card = stored.card
    assert json.loads(output.splitlines()[-1]) == {
        "model": "stae-street",
        "sha256": stored.digest,
    }
    assert card.input.shape == (-1, 1, 8, 16, 16)
    assert card.parameters == 389_761
    assert card.training_steps == 3
    assert card.settings["reading"]["frames"] == 3
    assert "Train: 2 clips" in card.training_data
    assert card.anomaly.frames == 24
    prior = card.anomaly.frame
    assert 0.0 < prior.q50 <= prior.q95 <= prior.q99 <= prior.q999 < 1.0
    assert 0.0 < card.anomaly.patch_q999 < 1.0


def test_a_card_names_no_folder_of_the_machine_it_was_made_on(trained, street):
    store, _ = trained
    assert str(street.parent) not in store.load("stae-street").card.training_data


def test_errors_are_averaged_over_the_windows_that_cover_a_frame(trained, street):
    store, _ = trained
    stored = store.load("stae-street")
    scorer = Scorer(stored, open_session(stored.path, provider=Provider.CPU))
    (recording, _) = recordings(street, "Test")

    def offline(stride):
        settings = RegimeSettings(stride=stride, served_stride=8, sigma=0.0)
        return model_traces(scorer, recording, settings)[Regime.OFFLINE].errors

    apart, overlapping = offline(8), offline(4)
    frames = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in recording.frames]
    by_hand = np.concatenate(
        [scorer.score(frames[:8]).frame_errors, scorer.score(frames[8:]).frame_errors]
    )
    assert apart == pytest.approx(by_hand)
    middle = scorer.score(frames[4:12]).frame_errors
    assert overlapping[4:12] == pytest.approx((by_hand[4:12] + middle) / 2)
    short = type(recording)("short", recording.frames[:7])
    with pytest.raises(Malformed, match="takes 8"):
        model_traces(scorer, short, RegimeSettings())


def test_evaluation_prints_every_convention_beside_the_baselines(trained, street, tmp_path):
    pytest.importorskip("matplotlib")
    store, _ = trained
    curves = tmp_path / "curves.png"
    arguments = ["evaluate", "--data", str(street), "--model", "stae-street", "--json", "--record"]
    arguments += ["--models", str(store.folder), "--curves", str(curves)]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    figures = json.loads(result.output.splitlines()[-1])
    for name in ("auc_video_normalised", "auc_raw", "auc_macro", "eer"):
        assert 0.0 <= figures[name] <= 1.0
    assert figures["frames"] == 32
    assert figures["frames_per_s"] > 0
    assert "mean frame difference" in result.output
    assert "standardised frame difference" in result.output
    assert cv2.imread(str(curves)).shape[1] > 500
    recorded = store.load("stae-street").card
    assert recorded.metrics["auc_raw"] == pytest.approx(figures["auc_raw"], abs=1e-4)
    assert street.name in recorded.metrics_data


def test_however_many_loaders_read_the_run_is_the_same(tmp_path, street):
    sources = [Source("street", recordings(street, "Train"), 1.0)]
    one, two = (
        Trainer(TINY, sources, tmp_path / str(loaders), loaders=loaders).run(lambda _: None)
        for loaders in (1, 2)
    )
    for name, weight in one.state_dict().items():
        assert torch.allclose(weight, two.state_dict()[name], atol=1e-6), name


def write_walk(folder, speed, frames=24):
    """A textured person who crosses a textured street of the size that motion is looked at in."""
    random = np.random.default_rng(0)
    street = random.integers(90, 110, (160, 240), np.uint8)
    coat = random.integers(0, 255, (28, 12), np.uint8)
    folder.mkdir(parents=True)
    for n in range(frames):
        frame = street.copy()
        left = 10 + round(speed * n)
        frame[60:88, left : left + 12] = coat
        cv2.imwrite(str(folder / f"{n:03}.png"), frame)


def test_plus_learns_what_pace_is_normal(tmp_path, monkeypatch):
    for n, speed in enumerate((1, 2, 1.5, 2.5)):
        write_walk(tmp_path / "walks" / "Train" / f"{n}", speed)
    plain = halving_autoencoder(tmp_path / "models")
    models = tmp_path / "models"
    command = f"plus --data {tmp_path}/walks --model {models}/halves --out {models}/plus"
    arguments = [*command.split(), "--held-out", "0.25"]
    monkeypatch.setattr("sys.argv", ["training", *arguments])
    told = CliRunner().invoke(app, arguments)
    assert told.exit_code == 0, told.output
    stored = ModelStore(tmp_path / "models").load("plus")
    assert stored.digest == plain.digest
    told = "plus --data walks --model models/halves --out models/plus --held-out 0.25"
    assert stored.card.training_command.endswith(told)
    prior = stored.card.anomaly.frame
    write_walk(tmp_path / "walks" / "Test" / "walk", 2, frames=16)
    write_walk(tmp_path / "walks" / "Test" / "rush", 8, frames=16)
    scorer = Scorer(stored, open_session(stored.path, provider=Provider.CPU))
    rush, walk = (
        scorer.score([read_frame(path) for path in recording.frames])
        for recording in recordings(tmp_path / "walks", "Test")
    )
    assert np.median(walk.frame_errors) < prior.q999 < np.median(rush.frame_errors)


def test_an_ablation_reads_a_model_in_every_way_and_as_the_evaluation_does(tmp_path):
    for n, speed in enumerate((1, 2, 1.5, 2.5)):
        write_walk(tmp_path / "walks" / "Train" / f"{n}", speed)
    for name, speed in (("rush", 8), ("walk", 2)):
        write_walk(tmp_path / "walks" / "Test" / name, speed, frames=16)
    np.save(tmp_path / "walks" / "labels.npy", np.repeat([1, 0], 16))
    plain = halving_autoencoder(tmp_path / "models")
    ways = ["--data", str(tmp_path / "walks")]
    runner = CliRunner()
    model = ["--model", str(tmp_path / "models" / "halves"), "--held-out", "0.25"]
    out = ["--out", str(tmp_path / "models" / "plus")]
    assert runner.invoke(app, ["plus", *ways, *model, *out]).exit_code == 0
    ways += ["--fps", "10", "--models", str(tmp_path / "models"), "--model"]

    outputs = {}

    def raw(row):
        """The second AUC of a row."""
        return float(re.findall(r"(\S+) \[", row)[1])

    def rows(command, name):
        """Name and regime -> the row's figures."""
        told = runner.invoke(app, [command, *ways, name])
        assert told.exit_code == 0, told.output
        outputs[command, name] = told.output
        shape = re.compile(r"(\S.*?) +(offline|as served) +(\S.*)")
        found = [shape.fullmatch(line) for line in told.output.splitlines()]
        return {(row[1], row[2]): row[3] for row in found if row}

    read = rows("ablate", "plus")
    names = [variant.name for variant in RECONSTRUCTION + BLENDED]
    assert list(dict.fromkeys(name for name, _ in read)) == names
    judged = rows("evaluate", "plus")
    for regime in ("offline", "as served"):
        assert read["STAE+", regime] == judged["plus", regime]
        assert read["motion alone", regime] != read["mean error (the paper)", regime]
        gain = raw(read["STAE+", regime]) - raw(read["motion alone", regime])
        (said,) = re.findall(rf"\n +{regime} +([+-]\S+) \[", outputs["ablate", "plus"])
        assert float(said) == pytest.approx(gain, abs=0.0011)
    plain_rows = rows("ablate", plain.card.name)
    assert {name for name, _ in plain_rows} == {variant.name for variant in RECONSTRUCTION}
