"""Made crops beside real ones, and what is said of what they add."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional
from typer.testing import CliRunner

from services.reid.core.evaluation import Ranking
from services.reid.training.__main__ import app
from services.reid.training.arms import Arms
from services.reid.training.ground import CENTRED, PLAIN, market_ground
from services.reid.training.made import MadeCrops, made_loss, read_made
from services.reid.training.pixels import read_training
from services.reid.training.settings import Network, Stage, TrainingSettings
from services.reid.training.trainer import Device, Trainer
from services.reid.training.uplift import BASE, average_precisions, gain_of, verdict_of
from services.reid.training.workshop import Workshop
from shared.errors import Conflict, Malformed, Missing
from shared.made_data import DataKind, LabelPolicy, MadeAbout, MadeData, MadeFolder

CPU = Device("cpu", bf16=False)
TINY = TrainingSettings(
    network=Network.OSNET, stages=(Stage(epochs=1, shrink=4),), people=4, crops=2, erasing=0.5
)


def crop_of(person: int, camera: int, n: int) -> np.ndarray:
    """Everybody has a shirt of their own; every camera its light."""
    random = np.random.default_rng([person, camera, n])
    crop = random.integers(0, 30, (64, 32, 3), dtype=np.uint8) + np.uint8(20 * camera)
    crop[15:45, 8:24] += np.random.default_rng(person).integers(0, 100, 3, dtype=np.uint8)
    return crop


def write_crops(folder: Path, people: range, cameras: range, crops: int = 2) -> None:
    folder.mkdir(parents=True)
    for person in people:
        for camera in cameras:
            for n in range(crops):
                name = f"{person:04}_c{camera}s1_{n:06}_00.png"
                cv2.imwrite(str(folder / name), crop_of(person, camera, n))


@pytest.fixture(scope="module")
def town(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("town")
    write_crops(root / "bounding_box_train", range(1, 11), range(1, 4))
    write_crops(root / "query", range(20, 26), range(2, 4), crops=1)
    write_crops(root / "bounding_box_test", range(20, 26), range(1, 4))
    return root


def write_made(
    folder: Path, people: range, policy: LabelPolicy = LabelPolicy.LSR, **changes: object
) -> Path:
    made = MadeFolder(folder)
    for person in people:
        body = cv2.imencode(".png", crop_of(person, 3, 9))[1].tobytes()
        made.add(f"images/{person:04}_c3s1_{person:06}_00.png", body)
    about = {
        "name": folder.name,
        "kind": DataKind.PERSONS,
        "system": "colour_transfer",
        "label_policy": policy,
        "epsilon": 0.1 if policy is LabelPolicy.LSR else None,
        "counts": {"pictures": len(people)},
        "licence": "ours",
    }
    made.close(MadeAbout(**(about | changes)))
    return folder


def test_a_spread_label_is_smoothing_and_a_wholly_spread_one_is_nobodys():
    logits, people = torch.randn(6, 5), torch.tensor([0, 1, 2, 3, 4, 0])
    for share in (0.0, 0.1, 0.7):
        expected = functional.cross_entropy(logits, people, label_smoothing=share)
        assert torch.isclose(made_loss(logits, people, torch.full((6,), share)), expected)
    evenly = functional.cross_entropy(logits, torch.full((6, 5), 0.2))
    assert torch.isclose(made_loss(logits, people, torch.ones(6)), evenly)


def test_made_crops_of_whoever_is_not_trained_on_are_left_out(town, tmp_path):
    real = read_training([town])
    restyled = write_made(tmp_path / "restyled", range(8, 14))
    nobody = write_made(tmp_path / "nobody", range(1), LabelPolicy.LSRO)
    found = read_made([restyled, nobody], real)
    assert [real.named[real.people == person][0].item() for person in found.people[:3]] == [
        8,
        9,
        10,
    ]
    assert found.spread.tolist() == pytest.approx([0.1, 0.1, 0.1, 1.0])
    assert found.pixels.shape == (4, 160, 64, 3)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"people": range(90, 93)}, "nobody_known"),
        ({"policy": LabelPolicy.NONE}, "no_policy"),
        ({"kind": DataKind.PLATES}, "not_persons"),
    ],
)
def test_a_made_data_set_that_teaches_nothing_is_refused(town, tmp_path, changes, code):
    folder = write_made(tmp_path / "made", **({"people": range(1, 4)} | changes))
    with pytest.raises(Malformed) as refused:
        read_made([folder], read_training([town]))
    assert refused.value.code == code


def test_a_training_sees_the_same_real_crops_with_and_without_made_ones(town, tmp_path):
    torch.set_num_threads(1)
    real = read_training([town])
    made = read_made([write_made(tmp_path / "made", range(1, 9))], real)
    seen: list[torch.Tensor] = []
    terms: list[dict[str, float]] = []
    for beside in (None, made):
        trainer = Trainer(real, TINY, CPU, beside)
        trainer.network.stem.register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
        trainer._epoch(lambda progress: terms.append(progress.losses))
    without, with_them = seen[: len(seen) // 2], seen[len(seen) // 2 :]
    assert len(without) > 5
    for one, other in zip(without, with_them, strict=True):
        assert other.shape[0] == one.shape[0] + 3  # a third of eight
        assert torch.equal(one, other[: len(one)])
    assert "made" in terms[-1]
    assert "made" not in terms[0]


def test_a_made_crop_weighs_as_much_as_a_real_one_and_moves_the_identity_loss_alone(town):
    real = read_training([town])
    double = MadeCrops(real.pixels, real.people, torch.full((len(real),), 0.1))
    for share in (0.5, 1.0):
        trainer = Trainer(real, replace(TINY, made_share=share, erasing=0.0), CPU, double)
        terms: list[dict[str, float]] = []
        trainer._epoch(lambda progress, terms=terms: terms.append(progress.losses))
        # Nobody is known yet: each crop's loss is about log(identities).
        assert terms[0]["made"] == pytest.approx(share * terms[0]["class"], rel=0.15)
        assert set(terms[0]) == {"class", "triplet", "made", "accuracy"}


def test_a_workshop_names_the_made_data_sets_beside_its_crops(town, tmp_path):
    folder = write_made(tmp_path / "restyled", range(1, 11))
    settings = replace(TINY, held_out=0.3)
    workshop = Workshop.open([town], settings, tmp_path / "m.pt", made=[folder])
    assert "7 made ones beside them" in workshop.summary  # three people are held out
    assert workshop.sources == (town.name, "restyled")


def test_the_train_command_refuses_what_is_no_made_data_set(town, tmp_path):
    words = ["train", "--data", str(town), "--made", str(town), "--out", str(tmp_path / "m")]
    words += ["--held-out", "0.3", "--people", "4", "--checkpoint", str(tmp_path / "m.pt")]
    run = CliRunner().invoke(app, words)
    assert isinstance(run.exception, Missing)
    assert run.exception.code == "no_manifest"


def test_a_camera_left_out_is_neither_learnt_nor_are_its_people_known(town):
    ground = market_ground(town, [1], [2, 3])
    assert sorted(set(ground.train.named.tolist())) == list(range(1, 11))
    assert len(ground.train) == 10 * 2
    assert (ground.queries, len(ground.shown)) == (12, 12 + 24)
    chosen = market_ground(town, [1], [2, 3], validation=True)
    assert sorted(set(chosen.shown.named.tolist())) == [5, 10]
    assert not {5, 10} & set(chosen.train.named.tolist())
    assert chosen.queries == 4
    with pytest.raises(Malformed, match="nobody"):
        market_ground(town, [7], [2])


def ranking(precisions: np.ndarray) -> Ranking:
    people = np.arange(len(precisions)) // 2
    return Ranking(people, np.ones(len(people), int), precisions, precisions, gallery=9)


def test_an_interval_is_of_differences_and_draws_people_not_queries():
    random = np.random.default_rng(0)
    without, people = random.random(200), np.arange(200) // 2
    found = gain_of(without + 0.1, without, people)
    assert (found.mean, found.low, found.high) == pytest.approx((0.1, 0.1, 0.1))
    added = np.repeat(random.normal(0, 0.1, 100), 2)  # both queries of a person gain alike
    found = gain_of(without + added, without, people)
    error = added[::2].std() / 10  # of a mean over 100 people, not over 200 queries
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert found.low < found.mean < found.high


def test_seeds_are_pooled_query_by_query():
    seeds = [ranking(np.array([0.2, 0.4])), ranking(np.array([0.6, 0.4]))]
    assert average_precisions(seeds).tolist() == pytest.approx([0.4, 0.4])


def test_a_gain_is_one_over_training_without_and_over_every_control():
    random = np.random.default_rng(1)
    base = random.random(300) * 0.5

    def arm(added: float) -> dict[str, list[Ranking]]:
        noise = random.normal(0, 0.05, (3, 300))
        rankings = [ranking(base + added + one) for one in noise]
        return {PLAIN: rankings, CENTRED: rankings}

    arms = {BASE: arm(0), "jitter": arm(0.02), "transfer": arm(0.05), "a": arm(0.1), "b": arm(0.03)}
    controls = ["jitter", "transfer"]
    good, bad = (verdict_of(name, arms, controls, "a town") for name in ("a", "b"))
    assert (good.outcome, bad.outcome) == ("gain", "no_gain")
    assert good.figures["map_centred_over_transfer_low"] > 0
    assert (
        bad.figures["map_centred_over_transfer_low"] < 0 < bad.figures["map_centred_over_base_low"]
    )
    assert verdict_of("transfer", arms, controls, "a town").outcome == "gain"  # over the others


def test_uplift_writes_its_verdict_and_trains_nothing_twice(town, tmp_path):
    colours, jitter = (write_made(tmp_path / name, range(1, 11)) for name in ("colours", "jitter"))
    words = ["uplift", "--data", str(town), "--control", str(colours), "--control", str(jitter)]
    words += ["--train-camera", "1", "--test-camera", "2", "--test-camera", "3", "--epochs", "1"]
    words += ["--shrink", "4", "--seed", "0", "--out", str(tmp_path / "arms"), "--json"]
    run = CliRunner().invoke(app, words)
    assert run.exit_code == 0, f"{run.output} {run.exception}"
    told = json.loads(run.stdout.splitlines()[-1])
    assert set(told["arms"]) == {BASE, "colours", "jitter"}
    for folder in (colours, jitter):
        verdict = MadeData.read(folder).manifest.verdict
        assert verdict.model_dump(mode="json") == told["verdicts"][folder.name]
        assert verdict.outcome in ("gain", "no_gain")
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "arms").glob("*.npz")}
    assert len(kept) == 3
    again = CliRunner().invoke(app, words)
    assert json.loads(again.stdout.splitlines()[-1]) == told
    assert kept == {path: path.stat().st_mtime_ns for path in (tmp_path / "arms").glob("*.npz")}
    with pytest.raises(Conflict):
        Arms(tmp_path / "arms", {"other": 1})
    (tmp_path / "arms" / "jitter.sha256").unlink()  # as older comparisons left it
    assert CliRunner().invoke(app, words).exit_code == 0
    shutil.rmtree(jitter)
    write_made(jitter, range(1, 10))
    with pytest.raises(Conflict) as refused:
        app(words, standalone_mode=False)
    assert refused.value.code == "other_data_set"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--control", "b"], "over 2 controls"),
        (["--control", "b", "--control", "c", "--made", "elsewhere/b"], "b stands for two"),
        (["--control", "b", "--control", "base"], "base stands for two"),
        (["--control", "b", "--control", "c", "--only", "d"], "no data set d"),
    ],
)
def test_uplift_takes_two_controls_and_names_that_stand_for_one(tmp_path, options, told):
    run = CliRunner().invoke(app, ["uplift", "--data", ".", "--out", str(tmp_path), *options])
    assert run.exit_code == 2
    assert told in run.output
