"""The evaluate command, with a model whose errors can be computed by hand."""

from __future__ import annotations

import json
import math
import re

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from services.anomaly.training.__main__ import app
from tests.dummy_models import averaging_autoencoder, halving_autoencoder

FRAMES = 20
ABNORMAL = np.arange(FRAMES) >= 12


def write_clip(folder, level, abnormal, place, bright=255):
    """A gray wall; where a frame is abnormal, a bright square of 16 pixels. -> its masks"""
    folder.mkdir(parents=True)
    masks = np.zeros((len(abnormal), 128, 128), bool)
    masks[abnormal, place : place + 16, place : place + 16] = True
    for n, mask in enumerate(masks):
        pixels = np.where(mask, bright, level).astype(np.uint8)
        cv2.imwrite(str(folder / f"{n:03}.png"), pixels)
    return masks


@pytest.fixture
def walls(tmp_path):
    """Two clips with masks and labels, nothing to train on, and the models' store."""
    folder = tmp_path / "walls"
    masks = {
        f"{n}": write_clip(folder / "Test" / f"{n}", 40 + 40 * n, ABNORMAL, 16 * n)
        for n in range(2)
    }
    np.save(folder / "labels.npy", np.tile(ABNORMAL, 2))
    packed = {name: np.packbits(mask, axis=-1) for name, mask in masks.items()}
    np.savez(folder / "Test" / "pixel_masks_packbits.npz", **packed)
    halving_autoencoder(tmp_path / "models")
    averaging_autoencoder(tmp_path / "models")
    return folder


def evaluated(folder, *options, model="halves", exit_code=0):
    """What the command prints, and its figures."""
    arguments = ["evaluate", "--data", str(folder), "--model", model, "--json"]
    arguments += ["--models", str(folder.parent / "models"), *map(str, options)]
    result = CliRunner().invoke(app, arguments, catch_exceptions=exit_code != 0)
    assert result.exit_code == exit_code, result.output
    if exit_code:
        return str(result.exception), None
    return result.output, json.loads(result.output.splitlines()[-1])


def test_a_perfect_scorer_is_perfect_in_every_figure_and_its_intervals_are_points(walls):
    output, figures = evaluated(walls, "--sigma", 0)
    for row in ("", "served_"):
        for convention in ("video_normalised", "raw", "macro"):
            for end in ("", "_low", "_high"):
                assert figures[f"{row}auc_{convention}{end}"] == 1.0
        assert figures[f"{row}eer"] == 0.0
        assert figures[f"{row}localisation_auc"] == 1.0
        assert figures[f"{row}localisation_eer"] == 0.0
        assert figures[f"{row}pixel_auc"] == 1.0
    assert figures["frames"] == 2 * FRAMES
    assert "40 % of pixels" in output
    assert "[1.000-1.000]" in output


def test_every_scorer_has_its_two_rows_and_what_needs_no_learning_is_always_there(walls):
    output, figures = evaluated(walls)
    rows = [line for line in output.splitlines() if "]" in line and "/ 0." in line]
    assert [(row[:30].strip(), row[30:41].strip()) for row in rows] == [
        ("halves", "offline"),
        ("halves", "as served"),
        ("mean frame difference", "offline"),
        ("mean frame difference", "as served"),
    ]
    (name, baseline), *others = figures["baselines"].items()
    assert (name, others) == ("mean_frame_difference", [])
    # Of 16 abnormal frames it sees the two in which the squares appear, and nothing else.
    assert baseline["served_auc_raw"] == pytest.approx(2 / 16 + 14 / 16 / 2)


def test_without_masks_the_figures_of_localisation_are_left_out_and_that_is_said(walls):
    (walls / "Test" / "pixel_masks_packbits.npz").unlink()
    output, figures = evaluated(walls)
    assert not [name for name in figures if "pixel" in name or "localisation" in name]
    assert "no pixel masks" in output
    assert "no pixel masks" in figures["remarks"][0]


def test_what_clips_without_a_normal_frame_cost_by_convention_alone_is_said(walls):
    write_clip(walls / "Test" / "2", 40, np.ones(FRAMES, bool), 32)
    np.save(walls / "labels.npy", np.append(np.tile(ABNORMAL, 2), np.ones(FRAMES)))
    output, figures = evaluated(walls, "--sigma", 0)
    assert figures["auc_raw"] == figures["auc_macro"] == 1.0
    assert figures["auc_video_normalised"] < 1.0
    _, table = output.split("AUC without the 1 of 3 clips that are of one class")
    (offline,) = re.findall(r"halves +offline +(\S+) +(\S+) +(\S+)\n", table)
    assert offline == ("1.000", "1.000", "1.000")


def test_clips_without_masks_do_not_count_in_localisation(walls):
    packed = np.load(walls / "Test" / "pixel_masks_packbits.npz")["0"]
    np.savez(walls / "Test" / "pixel_masks_packbits.npz", **{"0": packed})
    output, figures = evaluated(walls, "--sigma", 0)
    assert figures["localisation_auc"] == 1.0
    assert "the 1 clips that have pixel masks" in output


def test_the_strides_reach_the_rows_that_they_are_named_for(walls):
    random = np.random.default_rng(0)
    for file in (walls / "Test").glob("*/*.png"):
        cv2.imwrite(str(file), np.full((128, 128), random.integers(0, 255), np.uint8))

    def aucs(*options):
        _, figures = evaluated(walls, "--sigma", 0, *options, model="averages")
        return figures["auc_raw"], figures["served_auc_raw"]

    offline, served = aucs()
    denser, same = aucs("--stride", 1)
    assert (denser != offline, same) == (True, served)
    same, denser = aucs("--served-stride", 2)
    assert (same, denser != served) == (offline, True)


def test_figures_are_recorded_in_the_card_with_the_settings_they_were_made_with(walls):
    evaluated(walls, "--record", "--memory", 2)
    card = json.loads((walls.parent / "models" / "halves" / "card.json").read_text())
    assert card["metrics"]["served_auc_macro_low"] == 1.0
    assert card["metrics_data"].startswith("walls, folder, offline every 4 frames")
    assert "memory 2" in card["metrics_data"]


def test_the_gallery_has_a_row_for_each_chosen_clip(walls, tmp_path):
    pytest.importorskip("matplotlib")
    evaluated(walls, "--gallery", tmp_path / "all.png")
    evaluated(walls, "--gallery", tmp_path / "one.png", "--clip", "1")
    both, one = (cv2.imread(str(tmp_path / name)) for name in ("all.png", "one.png"))
    assert both.shape[0] - one.shape[0] == pytest.approx(190, abs=2)
    # Reconstructed as half of itself, the wall of clip 1 (80) and its abnormal frame's square.
    levels = set(np.unique(one[..., 0]))
    assert {40, 80, 127}.issubset(levels) or {40, 80, 128}.issubset(levels)
    error, _ = evaluated(walls, "--gallery", tmp_path / "no.png", "--clip", "9", exit_code=1)
    assert "no clips 9" in error


@pytest.fixture
def crossings(walls, tmp_path):
    """Two cameras of different brightness, the second too short for a window, and one that begins
    with its accident."""
    folder = tmp_path / "crossings"
    rows = ["clip,frame,accident,path"]
    for name, level, abnormal, bright in (
        ("bright", 200, ABNORMAL, 255),
        ("dim", 20, np.arange(12) >= 10, 120),
        ("early", 90, np.arange(20) < 5, 255),
    ):
        write_clip(folder / name, level, abnormal, 32, bright)
        rows += [f"{name},{n},{int(flag)},{name}/{n:03}.png" for n, flag in enumerate(abnormal)]
    (folder / "index.csv").write_text("\n".join(rows))
    return folder


def test_cameras_are_judged_by_their_own_prefix(crossings):
    options = ("--protocol", "clip-prefix", "--prefix", 8, "--sigma", 0)
    output, figures = evaluated(crossings, *options)
    assert "begin with their accident: early" in output
    assert "left unscored): dim" in output
    assert figures["frames"] == 32
    for row in ("", "served_"):
        assert figures[f"{row}auc_raw"] == 1.0
        assert figures[f"{row}auc_macro"] == 1.0
    assert not math.isnan(figures["baselines"]["mean_frame_difference"]["auc_raw"])
    evaluated(crossings, *options, "--record")
    card = json.loads((crossings.parent / "models" / "halves" / "card.json").read_text())
    assert card["metrics_data"].startswith("crossings, clip-prefix of 8 frames, offline")


def test_a_clip_shorter_than_a_window_is_refused_where_the_protocol_does_not_pad(walls):
    for file in sorted((walls / "Test" / "0").iterdir())[12:]:
        file.unlink()
    np.save(walls / "labels.npy", np.append(np.arange(12) >= 9, ABNORMAL))
    error, _ = evaluated(walls, exit_code=1)
    assert "takes 16" in error
