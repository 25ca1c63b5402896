"""What made characters are worth: drawing, augmenting, learning, counting."""

from __future__ import annotations

import csv
import json
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import Result
from onnx import TensorProto, helper
from scipy.stats import ttest_1samp
from typer.testing import CliRunner

from services.synthetic.training.__main__ import app
from services.synthetic.training.augmentation import Augmentation
from services.synthetic.training.characters import CLASSICAL, PLAIN, Outcome, Plan, arm, drawn
from services.synthetic.training.comparison import Comparison
from services.synthetic.training.digits import nearest
from services.synthetic.training.pictures import Pictures
from services.synthetic.training.plates import PROVINCES
from services.synthetic.training.recogniser import Characters, learn
from services.synthetic.training.stylist import of_labels
from shared.errors import Malformed
from shared.made_data import MadeData
from shared.model_store import ModelCard, ModelStore, TensorSpec, sha256_of

NOTHING = Augmentation(
    degrees=0, shear=0, scale=0, shift=0, elastic=0, thickness=0, blur=0, contrast=0, brightness=0
)


def command(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def write_bars(path: Path, classes: list[str], *, each: int = 12, side: int = 12) -> Path:
    """A bright bar a class, each at its own height, of some brightness."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(classes)), each)
    images = np.zeros((len(labels), side, side), np.uint8)
    for image, label in zip(images, labels, strict=True):
        top = label * side // len(classes)
        image[top : top + 2] = random.integers(150, 255)
    np.savez(path, images=images, labels=labels, classes=np.array(classes))
    return path


def square(count: int) -> torch.Tensor:
    images = torch.zeros(count, 1, 20, 20)
    images[:, :, 6:14, 6:14] = 1
    return images


def test_an_augmentation_without_bounds_changes_nothing():
    images = torch.rand(4, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(NOTHING(images, torch.Generator()), images, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "bound"),
    [("degrees", 30), ("shear", 0.6), ("scale", 0.3), ("shift", 3), ("elastic", 1),
     ("thickness", 1), ("blur", 1), ("contrast", 0.5), ("brightness", 0.3)],
)  # fmt: skip
def test_every_bound_moves_pixels_and_keeps_them_pixels(name, bound):
    augmentation = Augmentation(**(vars(NOTHING) | {name: bound}))
    images = square(8)
    found = augmentation(images, torch.Generator().manual_seed(0))
    assert float((found - images).abs().mean()) > 0.005
    assert 0 <= float(found.min()) <= float(found.max()) <= 1


def test_thickness_is_drawn_both_ways_and_turning_keeps_the_area():
    random = torch.Generator().manual_seed(0)
    thick = Augmentation(**(vars(NOTHING) | {"thickness": 1}))(square(200), random).sum((1, 2, 3))
    assert thick.min() < 50 < 80 < thick.max()
    turned = Augmentation(**(vars(NOTHING) | {"degrees": 45}))(square(50), random).sum((1, 2, 3))
    assert turned.numpy() == pytest.approx(64, rel=0.05)


def test_contents_show_what_their_labels_say():
    images = torch.arange(6.0).reshape(6, 1, 1, 1)
    pictures = Characters(images, torch.tensor([0, 1, 2, 0, 1, 2]))
    labels = torch.arange(3).repeat(50)
    found = of_labels(pictures, labels, torch.Generator().manual_seed(0)).flatten()
    assert (found % 3 == labels).all()
    assert len(found.unique()) == 6


def test_a_recogniser_learns_and_is_watched():
    images = torch.zeros(20, 1, 8, 8)
    labels = torch.arange(20) % 2
    images[labels == 1, :, :4] = 1
    known = Characters(images, labels)

    def draw(count, random):
        return known.chosen(torch.randint(20, (count,), generator=random))

    learnt = learn(draw, 2, steps=20, seed=0, watched=known, looks=4)
    assert [step for step, _ in learnt.curve] == [5, 10, 15, 20]
    assert not learnt.recogniser.errors(known).any()
    assert learnt.recogniser.errors(Characters(images, 1 - labels)).all()


def test_real_ones_held_out_and_others_share_no_picture():
    counts = [9, 3, 7]
    labels = np.repeat(np.arange(3), counts)
    images = np.arange(19, dtype=np.uint8).reshape(19, 1, 1, 1)
    pictures = Pictures("numbered", images, labels, ("a", "b", "c"))
    task = drawn(pictures, Plan(each=5, least=6), seed=3)
    parts = [task.few, task.held, task.others]
    numbers = np.concatenate([part.images.ravel() for part in parts])
    assert sorted(numbers.tolist()) == list(range(19))
    assert task.few.classes == task.held.classes == ("a", "c")
    assert np.bincount(task.few.labels).tolist() == [5, 5]
    assert (labels[task.held.images.ravel()] == np.array([0, 2])[task.held.labels]).all()
    assert set(labels[task.others.images.ravel()]) == {1}
    again, other = (drawn(pictures, Plan(each=5, least=6), seed=seed) for seed in (3, 4))
    assert (again.few.images == task.few.images).all()
    assert (other.few.images != task.few.images).any()


def test_one_class_is_nothing_to_tell_apart():
    pictures = Pictures("one", np.zeros((9, 1, 4, 4), np.uint8), np.zeros(9, np.int64), ("a",))
    with pytest.raises(Malformed) as refused:
        drawn(pictures, Plan(least=6), seed=0)
    assert refused.value.code == "too_few_classes"


def outcomes(**errors):
    names = {"plain": PLAIN, "classical": CLASSICAL, "made": arm(10, augmented=True)}
    return {names[name]: Outcome(share, share, [(1, 1 - share)]) for name, share in errors.items()}


def test_removed_errors_are_paired_over_seeds():
    found = Comparison(
        [
            outcomes(plain=0.4, classical=0.20, made=0.10),
            outcomes(plain=0.3, classical=0.10, made=0.06),
            outcomes(plain=0.2, classical=0.30, made=0.18),
        ]
    )
    assert found.best == CLASSICAL
    removed = found.removed(arm(10, augmented=True))
    shares = [0.1 / 0.2, 0.04 / 0.2, 0.12 / 0.2]
    bounds = ttest_1samp(shares, 0).confidence_interval(0.95)
    assert removed == pytest.approx((1.3 / 3, bounds.low, bounds.high))
    assert found.removed(PLAIN).mean < 0
    json.dumps(found.figures, allow_nan=False)


def test_characters_by_command_and_not_twice(tmp_path):
    data = write_bars(tmp_path / "bars.npz", ["a", "b", "c"], each=45)
    wanted = ("characters", "--data", data, "--out", tmp_path / "curves.png", "--seeds", 2,
              "--made", 2, "--made", 6, "--steps", 20, "--stylist-steps", 3,
              "--workspace", tmp_path / "work", "--json")  # fmt: skip
    done = command(*wanted)
    assert done.exit_code == 0, done.output
    figures = json.loads(done.output.splitlines()[-1])
    arms = {PLAIN, CLASSICAL} | {arm(n, augmented=one) for n in (2, 6) for one in (False, True)}
    assert set(figures["errors"]) == arms
    assert all(len(shares) == 2 for shares in figures["errors"].values())
    assert figures["errors"][PLAIN] == [0, 0]
    assert cv2.imread(str(tmp_path / "curves.png")).std() > 0
    again = command(*wanted)
    assert "misread\n" not in again.output.split("learnt from")[0]
    assert json.loads(again.output.splitlines()[-1]) == figures
    other = command(*wanted, "--share", 0.2)
    assert other.exception.code == "other_settings"
    with np.load(data) as arrays:
        darker = {**arrays, "images": arrays["images"] // 2}
    np.savez(data, **darker)
    assert command(*wanted).exception.code == "other_settings"


@pytest.fixture(scope="module")
def stylist(tmp_path_factory):
    """A stored model that gives the mean of content and style; its folder has data, too."""
    folder = tmp_path_factory.mktemp("stylist")
    write_bars(folder / "bars.npz", ["7", "B", "zh_jing", "zh_hu"])
    shape = ["B", 1, 12, 12]
    graph = helper.make_graph(
        [helper.make_node("Mean", ["contents", "styles"], ["made"])],
        "mean",
        [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, shape)
            for n in ("contents", "styles")
        ],
        [helper.make_tensor_value_info("made", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    file = folder / "models" / "bars" / "mean.onnx"
    file.parent.mkdir(parents=True)
    file.write_bytes(model.SerializeToString())
    card = ModelCard(
        name="bars", version="1", service="synthetic", summary="mean of both", paper="none",
        file=file.name, sha256=sha256_of(file),
        input=TensorSpec(name="contents", shape=(-1, 1, 12, 12), layout="BCHW", colour="gray"),
        outputs=("made",), parameters=0, training_data="none", training_command="none",
        training_steps=0, training_minutes=0, seed=0, trained_on=date(2026, 1, 1), metrics={},
        metrics_data="none", licence="none", intended_use="tests", limits="learns nothing",
        settings={"system": "saae", "inputs": ["contents", "styles"]},
    )  # fmt: skip
    ModelStore(folder / "models").save(card, file)
    return folder


def stored(folder: Path) -> tuple[object, ...]:
    return ("--model", "bars", "--models", folder / "models", "--data", folder / "bars.npz")


def test_a_sheet_has_a_row_a_style_and_a_column_a_content(stylist, tmp_path):
    out = tmp_path / "sheet.png"
    done = command("transfer", *stored(stylist), "--out", out, "--styles", 3, "--contents", 2)
    assert done.exit_code == 0, done.output
    drawn_sheet = cv2.imread(str(out))
    factor = 48 // 12
    assert drawn_sheet.shape[:2] == ((4 * 14 - 2) * factor, (4 * 14 - 2) * factor)
    assert (drawn_sheet[: 12 * factor, : 12 * factor] == 255).all()  # no style of no style
    place = 14 * factor
    content, style, made = (
        drawn_sheet[row * place :, column * place :][: 12 * factor, : 12 * factor].astype(float)
        for row, column in ((0, 1), (2, 0), (2, 1))
    )
    assert np.abs(made - (content + style) / 2).max() <= 1


def test_the_nearest_real_picture_is_found():
    real = np.array([0, 100, 200], np.uint8).reshape(3, 1, 1, 1)
    made = np.array([[[[90]]], [[[160]]]], np.uint8)
    assert nearest(made, real).ravel().tolist() == [100, 200]


def test_plates_are_a_data_set_with_their_texts(stylist, tmp_path):
    out = tmp_path / "plates"
    done = command("plates", *stored(stylist), "--out", out, "--n", 5, "--seed", 1)
    assert done.exit_code == 0, done.output
    made = MadeData.read(out)  # checksums and marks
    assert (made.manifest.kind, made.manifest.counts["pictures"]) == ("plates", 5)
    lines = [line.split("\t") for line in (out / "rec_gt.txt").read_text().splitlines()]
    rows = list(csv.DictReader((out / "labels.csv").read_text().splitlines()))
    assert [(row["file"], row["text"]) for row in rows] == [tuple(line) for line in lines]
    for name, text in lines:
        image = cv2.imread(str(out / name))
        assert image.shape == (70, 220, 3)
        assert image[2, 2].argmax() == 0  # blue, as OpenCV has it
        assert text[0] in {PROVINCES["zh_jing"], PROVINCES["zh_hu"]}
        assert (text[1], set(text[2:]) <= {"7", "B"}, len(text)) == ("B", True, 7)


def test_plates_need_provinces_letters_and_digits(stylist, tmp_path):
    data = write_bars(tmp_path / "bars.npz", ["7", "B"])
    done = command("plates", *stored(stylist), "--data", data, "--out", tmp_path / "plates")
    assert done.exception.code == "no_plate_classes"


def test_pictures_of_another_size_are_refused_as_contents(stylist, tmp_path):
    data = write_bars(tmp_path / "bars.npz", ["7", "B"], side=8)
    done = command("transfer", *stored(stylist), "--data", data, "--out", tmp_path / "x.png")
    assert done.exception.code == "no_stylist"


def test_who_may_have_seen_the_images_that_choose_sigma_is_not_scored(stylist):
    done = command("evaluate", *stored(stylist))
    assert done.exception.code == "knows_validation"
