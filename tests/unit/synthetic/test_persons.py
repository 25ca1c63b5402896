"""Data sets of people: in other cameras' styles by translators and controls, and of nobody."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from services.synthetic.training.__main__ import app
from services.synthetic.training.colours import Palette, jittered, transferred
from services.synthetic.training.market import crop_of, training_crops
from services.synthetic.training.restyling import ColourTransfer, Translation
from shared.errors import Malformed, Missing
from shared.made_data import LabelPolicy, MadeData
from shared.mark import is_marked
from shared.model_store import ModelStore
from tests.dummy_models import lightening_translator, noise_painter

MODEL = Path(__file__).parents[3] / "models"


def command(*words: object) -> Result:
    run = CliRunner().invoke(app, [str(word) for word in words])
    assert run.exit_code == 0, f"{run.output} {run.exception}"
    return run


@pytest.fixture(scope="module")
def town(tmp_path_factory) -> Path:
    """Ten people through three cameras: the second is dark, the third is red."""
    root, random = tmp_path_factory.mktemp("town"), np.random.default_rng(0)
    (root / "train").mkdir()
    light = {1: (1.0, 1.0, 1.0), 2: (0.4, 0.4, 0.4), 3: (0.5, 0.5, 1.0)}
    for person in range(1, 11):
        shirt = random.integers(60, 200, 3)
        for camera, bgr in light.items():
            crop = random.integers(90, 130, (64, 32, 3))
            crop[15:45, 8:24] = shirt
            name = f"{person:04}_c{camera}s1_{person:06}_00.png"
            cv2.imwrite(str(root / "train" / name), (crop * bgr).astype(np.uint8))
    return root


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    lightening_translator(folder)
    noise_painter(folder)
    return folder


def test_learners_of_cameras_see_crops_without_their_people(town, tmp_path):
    out = tmp_path / "crops.npz"
    command("crops", "--data", town, "--camera", 1, "--camera", 3, "--out", out)
    with np.load(out) as found:
        assert found["images"].shape == (20, 32, 16, 3)
        assert found["classes"].tolist() == ["c1", "c3"]
        assert set(found.files) == {"images", "labels", "classes"}
    held = {crop.person for crop in training_crops(town)} - {
        crop.person for crop in training_crops(town, without_held_out=True)
    }
    assert held == {5, 10}


def test_transferred_colours_have_the_targets_mean_and_deviation():
    random = np.random.default_rng(0)
    dark = [random.integers(30, 90, (16, 8, 3), dtype=np.uint8) for _ in range(4)]
    light = [random.integers(90, 210, (16, 8, 3), dtype=np.uint8) for _ in range(4)]
    of_dark, of_light = Palette.of(dark), Palette.of(light)
    found = Palette.of([transferred(crop, of_dark, of_light) for crop in dark])
    assert np.allclose(found.mean, of_light.mean, atol=2)
    assert np.allclose(found.deviation, of_light.deviation, rtol=0.2)
    assert np.abs(transferred(dark[0], of_dark, of_dark).astype(int) - dark[0]).max() <= 1


def test_jitter_changes_colours_and_not_shapes():
    crop = np.full((16, 8, 3), 40, np.uint8)
    crop[4:12] = (160, 90, 60)
    found = jittered(crop, np.random.default_rng(0))
    assert np.abs(found.astype(int) - crop).max() > 10
    assert len(np.unique(found.reshape(-1, 3), axis=0)) == 2
    assert (found == jittered(crop, np.random.default_rng(0))).all()


def test_people_are_made_in_the_style_of_other_cameras_with_their_lineage(town, tmp_path):
    words = ("persons", "--system", "colour_transfer", "--data", town, "--source", 1)
    command(*words, "--target", 2, "--target", 3, "--out", tmp_path / "made")
    found = MadeData.read(tmp_path / "made")
    manifest = found.manifest
    assert (manifest.system, manifest.counts["pictures"]) == ("colour_transfer", 20)
    assert (manifest.label_policy, manifest.epsilon) == (LabelPolicy.LSR, 0.1)
    assert manifest.verdict.outcome == "unmeasured"
    assert all(is_marked(path.read_bytes()) for path in found.images)
    with (found.folder / manifest.lineage["crops"]).open() as file:
        rows = {row["file"]: row for row in csv.DictReader(file)}
    for path in found.images:
        crop, row = crop_of(path), rows[path.name]
        source = crop_of(town / "train" / row["source_file"])
        assert (source.person, source.camera) == (crop.person, int(row["source_camera"]))
        assert crop.camera == int(row["target_camera"])
        like = next(
            one.read() for one in training_crops(town)
            if (one.person, one.camera) == (crop.person, crop.camera)
        )  # fmt: skip
        near, far = (np.abs(crop.read().mean((0, 1)) - one.mean((0, 1))).max()
                     for one in (like, source.read()))  # fmt: skip
        assert near < far / 2


def lighter(crop: np.ndarray) -> np.ndarray:
    """Its logits and 1."""
    x = np.clip(crop / 255, 1e-3, 1 - 1e-3)
    return 255 * x * np.e / (1 - x + x * np.e)


def test_what_a_translator_changes_of_a_small_crop_is_changed_of_the_whole_one(
    town, store, tmp_path
):
    words = ("persons", "--model", "lightens", "--models", store, "--data", town, "--source", 1)
    command(*words, "--target", 2, "--target", 3, "--out", tmp_path / "made")
    found = MadeData.read(tmp_path / "made")
    assert found.manifest.model_sha256 == ModelStore(store).load("lightens").digest
    sources = {one.person: one.read() for one in training_crops(town) if one.camera == 1}
    for crop in map(crop_of, found.images):
        source = sources[crop.person].astype(float)
        expected = lighter(source) if crop.camera == 2 else source
        # Were the crop made small and large again, noise alone would cost it tens of levels.
        assert np.abs(crop.read() - expected).max() <= 2


def test_so_many_may_be_drawn_and_are_the_same_for_a_seed(town, tmp_path):
    words = ("persons", "--system", "colour_transfer", "--data", town, "--n", 7, "--seed", 3)
    names = []
    for folder in (tmp_path / "one", tmp_path / "other"):
        command(*words, "--out", folder)
        names.append([path.name for path in MadeData.read(folder).images])
    assert names[0] == names[1]
    assert len(names[0]) == 7


def test_colours_may_be_transferred_before_a_crop_is_translated(town, store, tmp_path):
    words = ("persons", "--model", "lightens", "--models", store, "--data", town, "--over-colours")
    command(*words, "--source", 1, "--target", 2, "--out", tmp_path / "made")
    first = training_crops(town)[0]
    assert MadeData.read(tmp_path / "made").manifest.lineage["over_colours"] is True
    (transferred_first,) = ColourTransfer.of(training_crops(town))([first.read()], 1, 2)
    made = crop_of(MadeData.read(tmp_path / "made").images[0]).read()
    assert np.abs(made - lighter(transferred_first.astype(float))).max() <= 2


def test_classes_of_a_model_stand_for_the_cameras_that_are_named(town, store, tmp_path):
    words = ("persons", "--model", "lightens", "--models", store, "--data", town, "--source", 1)
    words = (*words, "--domain", 1, "--domain", 3, "--domain", 2, "--target", 3)
    command(*words, "--out", tmp_path / "made")
    (first, *_) = map(crop_of, MadeData.read(tmp_path / "made").images)
    assert np.abs(first.read() - lighter(training_crops(town)[0].read().astype(float))).max() <= 2


def test_a_model_of_noise_makes_nobody(town, store, tmp_path):
    words = ("persons", "--model", "paints", "--models", store, "--data", town, "--n", 7)
    command(*words, "--out", tmp_path / "made")
    found = MadeData.read(tmp_path / "made")
    assert found.manifest.label_policy is LabelPolicy.LSRO
    assert {(crop_of(path).person, crop_of(path).camera) for path in found.images} == {(0, 0)}


def test_what_no_model_can_translate_is_refused_by_name(store):
    models = ModelStore(store)
    with pytest.raises(Malformed) as wrong:
        Translation(models.load("paints"), [1])
    assert wrong.value.code == "no_translator"
    with pytest.raises(Malformed) as few:
        Translation(models.load("lightens"), [1, 2])
    assert few.value.code == "other_domains"
    with pytest.raises(Missing) as unknown:
        Translation(models.load("lightens"), [1, 2, 3])([], 1, 9)
    assert unknown.value.code == "unknown_camera"


def test_persons_are_made_by_a_system_or_a_model_and_not_by_neither(town, tmp_path):
    words = ["persons", "--data", str(town), "--out", str(tmp_path / "made")]
    for wrong in ([], ["--system", "stargan"], ["--system", "colour_jitter", "--model", "x"]):
        assert CliRunner().invoke(app, words + wrong).exit_code == 2


def test_the_figures_of_a_data_set_join_its_manifest_under_the_extractors_name(town, tmp_path):
    words = ("persons", "--data", town, "--source", 1, "--target", 2, "--out", tmp_path / "made")
    command(*words, "--system", "colour_transfer")
    run = command("measure", "--made", tmp_path / "made", "--data", town, "--models", MODEL)
    told = json.loads(run.stdout.splitlines()[-1])
    digest = ModelStore(MODEL).load("msp-cnn").digest[:8]
    names = ("kid", "kid_sd", "precision", "recall", "density", "coverage")
    assert set(told) == {f"{name}_msp-cnn_{digest}" for name in names}
    assert MadeData.read(tmp_path / "made").manifest.metrics == told
