"""Training adversarial systems: data, settings and what goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import Result
from scipy.stats import multivariate_normal
from typer.testing import CliRunner

from services.synthetic.training.__main__ import app
from services.synthetic.training.judge import Judge
from services.synthetic.training.parzen import SIGMAS, log_densities, parzen_likelihood
from services.synthetic.training.pictures import Pictures, read_pictures
from services.synthetic.training.registry import SYSTEMS, entry_of
from services.synthetic.training.ring import CONTENDERS, MODES, SAMPLES, covered, ring
from services.synthetic.training.settings import TrainingSettings
from services.synthetic.training.sheet import draw_sheet
from services.synthetic.training.trainer import Trainer
from shared.errors import Conflict, Malformed, Missing
from tests.unit.synthetic.studio import write_npz

ROOT = Path(__file__).parents[3]


def command(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_settings_are_told_by_name_and_refused_by_name():
    entry = entry_of("gan")
    assert entry.settings_of({"noise": "12", "spectral": "true"}).noise == 12
    with pytest.raises(Malformed) as unknown:
        entry.settings_of({"noize": 12})
    assert unknown.value.code == "unknown_setting"
    with pytest.raises(Malformed) as bad:
        entry.settings_of({"noise": "many"})
    assert bad.value.code == "bad_setting"
    with pytest.raises(Missing) as missing:
        entry_of("gun")
    assert missing.value.code == "unknown_system"


@pytest.mark.parametrize(
    ("system", "changes"),
    [
        ("saae", {"discriminator": "class"}),
        ("saae", {"features": 0}),
        ("saae", {"smoothing": 1}),
        ("gan", {"loss": "none"}),
        ("gan", {"penalty": "r3"}),
        ("gan", {"critic_steps": 0}),
        ("gan", {"clip": -0.1}),
        ("gan", {"learning_rate": -1}),
        ("camstyle", {"features": -1}),
        ("ptgan", {"blocks": -3}),
        ("stargan", {"domain": -1}),
        ("spgan", {"negative": "none"}),
    ],
)
def test_a_value_beyond_its_bounds_is_refused(system, changes):
    with pytest.raises(Malformed) as bad:
        entry_of(system).settings_of(changes)
    assert bad.value.code == "bad_setting"


def gan(tmp_path, **changes):
    entry = entry_of("gan")
    pictures = read_pictures(write_npz(tmp_path / "x.npz"))
    settings = entry.settings_of({"height": 8, "width": 8, "features": 4, "noise": 4} | changes)
    return Trainer(
        entry.build(settings),
        pictures,
        TrainingSettings(steps=3, batch=4),
        tmp_path / "run",
        identity=changes,
    )


def test_a_folder_with_another_run_is_not_overwritten(tmp_path):
    gan(tmp_path).run(lambda _: None)
    with pytest.raises(Conflict) as refused:
        gan(tmp_path, features=8)
    assert refused.value.code == "other_settings"


def test_a_translator_needs_two_classes(tmp_path):
    pictures = read_pictures(write_npz(tmp_path / "x.npz", labels=(), classes=()))
    entry = entry_of("camstyle")
    system = entry.build(entry.settings_of({"channels": 1, "height": 8, "width": 8}))
    with pytest.raises(Malformed) as refused:
        Trainer(system, pictures, TrainingSettings(), tmp_path / "run", identity={})
    assert refused.value.code == "too_few_classes"


def test_a_training_that_diverges_stops_and_says_where(tmp_path):
    trainer = gan(tmp_path, learning_rate=1e30)
    with pytest.raises(Malformed) as stopped:
        trainer.run(lambda _: None)
    assert stopped.value.code == "diverged"


def test_a_sheet_has_a_place_for_each_image(tmp_path):
    draw_sheet(np.zeros((5, 3, 48, 24), np.uint8), tmp_path / "new" / "sheet.png", columns=3)
    drawn = cv2.imread(str(tmp_path / "new" / "sheet.png"))
    assert drawn.shape == (2 * 48 + 2, 3 * 24 + 4, 3)
    assert (drawn[-1, -1] == 255).all()  # the sixth place is empty


def test_train_and_sample_by_command(tmp_path):
    data = write_npz(tmp_path / "letters.npz")
    out = tmp_path / "models" / "letters"
    small = ("features=4", "style=4", "reconstruction_steps=1", "discriminator_steps=1")
    settings = [word for setting in small for word in ("--set", setting)]
    done = command("train", "--system", "saae", "--data", data, "--out", out, "--steps", 4,
                   "--batch", 4, "--workspace", tmp_path / "run", *settings)  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "step 4/4" in done.output
    store = ("--model", "letters", "--models", out.parent)
    made = command("sample", *store, "--n", 5, "--data", data, "--out", tmp_path / "made.npz",
                   "--sheet", tmp_path / "made.png")  # fmt: skip
    assert made.exit_code == 0, made.output
    with np.load(tmp_path / "made.npz") as found:
        assert (found["images"].shape, found["labels"].tolist()) == ((5, 8, 8, 1), [0, 1, 0, 1, 0])
        assert bool(found["synthetic"])
    assert (tmp_path / "made.png").is_file()
    again = command("train", "--system", "saae", "--data", data, "--out", out)
    assert again.exception.code == "model_exists"
    styleless = command("sample", *store, "--n", 5, "--out", tmp_path / "none.npz")
    assert styleless.exception.code == "pictures_needed"


def test_all_systems_are_listed():
    listed = json.loads(command("list", "--json").output)
    assert set(listed) == set(SYSTEMS)
    assert listed["saae"]["needs"] == ["contents", "images", "labels"]


def test_points_of_the_ring_cover_it_and_a_lump_does_not():
    points = ring(SAMPLES, torch.Generator().manual_seed(0)).numpy()
    assert covered(points) == MODES
    assert covered(np.tile(points[:1], (SAMPLES, 1))) == 1
    assert covered(np.zeros((SAMPLES, 2))) == 0


def test_a_bounded_slope_covers_the_ring(tmp_path, monkeypatch):
    short = replace(CONTENDERS["non-saturating, R1"], steps=800)
    monkeypatch.setitem(CONTENDERS, "non-saturating, R1", short)
    found = command("ring", "--out", tmp_path / "ring.png", "--only", "non-saturating, R1")
    assert found.exit_code == 0, found.output
    modes = int(found.output.split(":")[1].split()[0])
    assert modes >= 6
    assert cv2.imread(str(tmp_path / "ring.png")).std() > 0


def test_two_processes_learn_as_one(tmp_path):
    """By torch's launcher: each draws pictures of its own, and both end with the same weights."""
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone",
         str(Path(__file__).with_name("fleet_program.py")), str(tmp_path)],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    one, other = sorted(told, key=lambda process: process["rank"])
    assert one["drew"] != other["drew"]
    assert one["weights"] == other["weights"]
    assert (one["leads"], other["leads"]) == (True, False)
    assert (one["saved"], other["saved"]) == (["checkpoint.pt", "log.jsonl"], [])


def test_one_made_image_is_a_gaussian_window():
    made, points = np.zeros((1, 4), np.float32), np.array([[0, 0, 0, 0], [1, 0, 0, 0]], np.float32)
    sigmas = np.array([0.5, 1.0])
    wanted = [multivariate_normal(np.zeros(4), sigma**2).logpdf(points) for sigma in sigmas]
    assert log_densities(made, points, sigmas) == pytest.approx(np.array(wanted), abs=1e-5)


def test_many_made_images_are_the_mean_of_their_windows():
    random = np.random.default_rng(0)
    made, points = random.random((7, 3), np.float32), random.random((1203, 3), np.float32)
    windows = [multivariate_normal(centre, 0.3**2).pdf(points) for centre in made]
    (found,) = log_densities(made, points, np.array([0.3]))
    assert found == pytest.approx(np.log(np.mean(windows, axis=0)), abs=1e-4)


def test_the_window_is_chosen_on_validation_images_and_not_on_the_test():
    random = np.random.default_rng(0)
    made = random.normal(0.5, 0.2, (500, 4)).astype(np.float32)
    near, far = made[:50] + 0.01, np.full((50, 4), 3.0, np.float32)
    likely = parzen_likelihood(made, validation=near, test=far)
    assert likely.sigma < 0.2
    assert likely.mean < -100
    assert parzen_likelihood(made, validation=far, test=near).sigma == SIGMAS[-1]


def test_a_judge_reads_what_it_has_learnt():
    images = np.zeros((40, 1, 8, 8), np.uint8)
    labels = np.arange(40) % 2
    for image, label in zip(images, labels, strict=True):
        image[:, :, 4 * label : 4 * label + 4] = 200
    judge = Judge(Pictures("halves", images, labels, ("left", "right")), steps=60)
    assert judge.accuracy(images, labels) == 1.0
    assert judge.accuracy(images, 1 - labels) == 0.0


@pytest.mark.data
def test_digits_are_evaluated_beside_real_ones(data, tmp_path):
    folder = data("MNIST")
    out = tmp_path / "models" / "digits"
    small = ("--steps", 2, "--batch", 4, "--set", "features=4", "--workspace", tmp_path / "run")
    wanted = ("--system", "gan", "--data", folder, "--out", out, *small)
    done = command("train", *wanted, "--first", 50_000)
    assert done.exit_code == 0, done.output
    found = command("evaluate", "--model", "digits", "--models", out.parent, "--data", folder,
                    "--n", 200, "--sheet", tmp_path / "nearest.png", "--json")  # fmt: skip
    assert found.exit_code == 0, found.output
    figures = json.loads(found.output.splitlines()[-1])
    assert figures["read"] is None  # noise asks for no digit
    assert figures["log_likelihood_of_real"] > figures["log_likelihood"] + 50
    assert (tmp_path / "nearest.png").is_file()
