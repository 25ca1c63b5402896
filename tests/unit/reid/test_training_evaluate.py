from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from services.reid.core.reranking import Reranking
from services.reid.training.__main__ import app
from services.reid.training.evaluate import Compared, Comparison, compare, evaluate
from services.reid.training.protocols import PROTOCOLS, Trial
from services.reid.training.sheet import (
    ANSWERS,
    FRAME,
    GAP,
    HEIGHT,
    HIDDEN_SHARE,
    RIGHT,
    WIDTH,
    WRONG,
    draw_sheet,
    without_face,
)
from shared.errors import Malformed, Missing

CELL = WIDTH + 2 * FRAME + GAP


class MeanColours:
    """Unit vectors of the mean colours of a crop's left half and its lower right."""

    def embed(self, crops):
        halves = [[crop[:, :32].mean((0, 1)), crop[64:, 32:].mean((0, 1))] for crop in crops]
        vectors = np.array(halves, np.float32).reshape(len(crops), 6)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    """Twelve people of one colour each, seen by two cameras, the second of which is redder."""
    root, rng = tmp_path_factory.mktemp("town"), np.random.default_rng(0)
    for name in ("query", "gallery"):
        (root / name).mkdir()
    for person in range(1, 13):
        colours = rng.integers(20, 200, (2, 3))
        for camera, name in ((1, "query"), (2, "gallery")):
            crop = np.zeros((128, 64, 3), np.int64) + colours[0]
            crop[64:] = colours[1]
            crop = crop + rng.normal(0, 8, crop.shape) + (np.array([0, 0, 50]) * (camera == 2))
            crop[:, 32:] += 10 * camera
            file = root / name / f"{person:04}_c{camera}s1_000001_00.png"
            cv2.imwrite(str(file), np.clip(crop, 0, 255).astype(np.uint8))
    return root


def test_mirrored_crops_have_one_vector_when_flipped(town):
    class Mirrored(MeanColours):
        def embed(self, crops):
            return super().embed([crop[:, ::-1] for crop in crops])

    trials = PROTOCOLS["folder"](town)
    plain, mirrored = (
        compare(it, trials, lambda _done, _all: None, Comparison(flip=True))[0].similarity
        for it in (MeanColours(), Mirrored())
    )
    assert np.allclose(plain, mirrored, atol=1e-6)
    unflipped = compare(MeanColours(), trials, lambda _done, _all: None)[0].similarity
    assert not np.allclose(plain, unflipped, atol=1e-3)


def test_centring_cameras_takes_a_cameras_tint_away(town):
    trials = PROTOCOLS["folder"](town)
    plain, centred = (
        evaluate(MeanColours(), trials, lambda _done, _all: None, comparison)
        for comparison in (Comparison(), Comparison(centre_cameras=True))
    )
    assert centred.mean_average_precision > plain.mean_average_precision


def test_a_crop_that_shows_nobody_is_told_by_its_path(town, tmp_path):
    shutil.copytree(town, tmp_path, dirs_exist_ok=True)
    narrow = tmp_path / "gallery" / "0099_c1s1_000001_00.png"
    cv2.imwrite(str(narrow), np.zeros((60, 4, 3), np.uint8))
    with pytest.raises(Malformed, match=f"{narrow} is 4x60"):
        evaluate(MeanColours(), PROTOCOLS["folder"](tmp_path), lambda _done, _all: None)
    narrow.write_bytes(b"torn")
    with pytest.raises(Malformed, match=f"{narrow} is no whole"):
        evaluate(MeanColours(), PROTOCOLS["folder"](tmp_path), lambda _done, _all: None)


def test_nobody_to_be_found_is_told_before_anything_is_embedded(town):
    (trial,) = PROTOCOLS["folder"](town)
    with pytest.raises(Malformed) as refused:
        evaluate(MeanColours(), [Trial(trial.query, trial.query)], lambda _done, _all: None)
    assert refused.value.code == "nobody_answerable"


def test_centring_looks_at_no_label(town):
    (trial,) = PROTOCOLS["folder"](town)
    renamed = type(trial)(
        trial.query, [type(c)(c.path, 100 + n, c.camera) for n, c in enumerate(trial.gallery)]
    )
    a, b = (
        compare(MeanColours(), [t], lambda _done, _all: None, Comparison(centre_cameras=True))[0]
        for t in (trial, renamed)
    )
    assert np.array_equal(a.similarity, b.similarity)


@pytest.mark.parametrize(
    "comparison",
    [
        Comparison(reranking=Reranking(neighbours=4, averaged=2)),
        Comparison(flip=True, centre_cameras=True, reranking=Reranking(neighbours=4)),
    ],
)
def test_all_ways_of_comparing_go_together(town, comparison):
    trials = PROTOCOLS["folder"](town)
    outcome = evaluate(MeanColours(), trials, lambda _done, _all: None, comparison)
    assert outcome.queries == 12
    assert outcome.rank(20) == 1.0


def test_a_sheet_frames_right_answers_green_and_wrong_ones_red(town, tmp_path):
    (trial,) = PROTOCOLS["folder"](town)
    similarity = np.eye(12, dtype=np.float32) * 2 - np.arange(12) * 0.01
    similarity[0, 0] = -0.045  # the first query's person comes sixth
    draw_sheet(Compared(trial, similarity), tmp_path / "sheet.png", rows=3)
    with Image.open(tmp_path / "sheet.png") as file:
        assert file.format == "PNG"
        sheet = file.copy()

    def frame(row, place):
        left = GAP + 2 * GAP + (1 + place) * CELL
        return sheet.getpixel((left + 1, GAP + row * (HEIGHT + 2 * FRAME + GAP) + 1))

    expected = [WRONG] * ANSWERS
    expected[4] = RIGHT
    assert [frame(0, place) for place in range(ANSWERS)] == expected
    assert [frame(2, place) for place in range(2)] == [RIGHT, WRONG]


def test_no_face_is_left_on_a_sheet_and_the_clothes_are():
    rng = np.random.default_rng(0)
    crop = Image.fromarray(rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8))
    hidden = np.asarray(without_face(crop))
    top = round(HIDDEN_SHARE * HEIGHT)
    assert len(np.unique(hidden[:top].reshape(-1, 3), axis=0)) <= 8
    assert np.array_equal(hidden[top:], np.asarray(crop)[top:])


def test_every_crop_of_a_sheet_has_its_top_hidden(town, tmp_path):
    (trial,) = PROTOCOLS["folder"](town)
    draw_sheet(Compared(trial, np.eye(12, dtype=np.float32)), tmp_path / "sheet.png", rows=2)
    with Image.open(tmp_path / "sheet.png") as file:
        sheet = np.asarray(file)
    for column in range(1 + ANSWERS):
        left = GAP + column * CELL + (2 * GAP if column else 0) + FRAME
        face = sheet[GAP + FRAME :, left : left + WIDTH][: round(HIDDEN_SHARE * HEIGHT)]
        assert len(np.unique(face.reshape(-1, 3), axis=0)) <= 8


def test_the_command_compares_in_every_way_and_draws(town, tmp_path):
    arguments = ["evaluate", "--data", str(town), "--protocol", "folder", "--model", "histogram"]
    arguments += ["--flip", "--centre-cameras", "--rerank", "--json"]
    arguments += ["--sheet", str(tmp_path / "sheet.png"), "--sheet-rows", "4"]
    run = CliRunner().invoke(app, arguments)
    assert run.exit_code == 0, run.output
    figures = json.loads(run.stdout.splitlines()[-1])
    assert figures["rank1_low"] <= figures["rank1"] <= figures["rank1_high"]
    assert (figures["trials"], figures["queries"], figures["gallery"]) == (1, 12, 12)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.height > 4 * HEIGHT


def test_each_trial_may_have_a_model_of_its_own(town, tmp_path):
    arguments = ["evaluate", "--data", str(town), "--protocol", "folder", "--json"]
    arguments += ["--models", str(tmp_path), "--model", "mine-{trial}"]
    run = CliRunner().invoke(app, arguments)
    assert isinstance(run.exception, Missing)
    assert "mine-0" in str(run.exception)
    run = CliRunner().invoke(app, [*arguments, "--record", "town"])
    assert run.exit_code == 2


def test_viper_has_known_figures_without_learning(data):
    arguments = ["evaluate", "--data", str(data("VIPeR")), "--protocol", "viper"]
    run = CliRunner().invoke(app, [*arguments, "--model", "histogram", "--json"])
    figures = json.loads(run.stdout.splitlines()[-1])
    assert figures["rank1"] == pytest.approx(0.137, abs=0.03)
    assert figures["trials"] == 10
    assert 0 < figures["rank1_sd"] < 0.05
