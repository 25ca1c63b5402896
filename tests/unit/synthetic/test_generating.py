"""A stored model -> a made data set: its labels, its marks, its lineage; stopped and begun anew."""

from __future__ import annotations

import csv
import resource
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from services.synthetic.catalogue import check_data, system_of
from services.synthetic.generating import GenerationParams
from services.synthetic.settings import SyntheticSettings
from services.synthetic.shelf import Shelf
from services.synthetic.training import generating
from services.synthetic.training.generating import generate
from services.synthetic.training.measuring import Measure
from services.synthetic.training.pictures import read_pictures
from shared.errors import Malformed, Missing, Unavailable
from shared.images import decode
from shared.jobs import JobCancelled
from shared.made_data import LabelPolicy, MadeData, Outcome
from shared.mark import is_marked
from shared.model_store import ModelStore
from tests.unit.synthetic.studio import SIDE, Watched, store_model, write_data

MODELS = Path(__file__).parents[3] / "models"
LETTERS, CROPS, JOB, NEXT = (f"0000000000000000000000000{n}" for n in range(4))


@pytest.fixture
def shelf(tmp_path, monkeypatch) -> Shelf:
    """Of a service with three models: one of noise, one of contents, one that darkens crops."""
    monkeypatch.setenv("CITYBRAIN_HOME", str(tmp_path))
    monkeypatch.setenv("MODELS_FOLDER", str(tmp_path / "shipped"))
    image = ["B", 3, SIDE, SIDE]
    shaped = helper.make_node("Reshape", ["noise", "shape"], ["flat"])
    store_model(
        tmp_path,
        "drawer",
        {"noise": ["B", 3 * SIDE * SIDE]},
        [shaped, helper.make_node("Sigmoid", ["flat"], ["made"])],
        noise=3 * SIDE * SIDE,
    )
    store_model(
        tmp_path,
        "writer",
        {"contents": image, "styles": image},
        [helper.make_node("Max", ["contents", "styles"], ["made"])],
    )
    store_model(
        tmp_path,
        "darkener",
        {"images": image, "targets": ["B", 2]},
        [helper.make_node("Mul", ["images", "images"], ["made"])],
        classes=2,
        names=["c1", "c3"],
    )
    shelf = Shelf(SyntheticSettings().datasets_folder)
    names = [f"{'ab'[n % 2]}/{n}.png" for n in range(8)]
    write_data(shelf, LETTERS, names, ("a", "b"), kind="characters", width=SIDE, height=SIDE)
    crops = [f"000{p}_c{c}s1_00000{p}_00.png" for p in (1, 2) for c in (1, 3)]
    write_data(shelf, CROPS, crops, ("c1", "c3"), kind="persons", width=16, height=32)
    return shelf


def asked(model: str, n: int = 6, **changes) -> GenerationParams:
    return GenerationParams(**({"model": model, "n": n, "name": "made"} | changes))


def made_by(shelf: Shelf, tmp_path, params: GenerationParams, job: str = JOB) -> MadeData:
    assert generate(params, Watched(tmp_path / job, job))["dataset_id"] == job
    return MadeData.read(shelf.folder / job)


def test_noise_becomes_marked_pictures_that_are_the_same_for_the_same_seed(shelf, tmp_path):
    first = made_by(shelf, tmp_path, asked("drawer"))
    assert (len(first.images), first.manifest.label_policy) == (6, LabelPolicy.NONE)
    assert first.manifest.verdict.outcome is Outcome.UNMEASURED
    assert first.manifest.model_sha256 == ModelStore(tmp_path / "models").load("drawer").digest
    assert is_marked((first.folder / "sheet.png").read_bytes())
    again = made_by(shelf, tmp_path, asked("drawer"), NEXT)
    assert again.manifest.sha256 == first.manifest.sha256
    shelf.remove(NEXT)
    other = made_by(shelf, tmp_path, asked("drawer", seed=1), NEXT)
    assert other.manifest.sha256 != first.manifest.sha256


def test_contents_give_labels_evenly_and_their_data_set_is_the_parent(shelf, tmp_path, monkeypatch):
    monkeypatch.setattr(generating, "CHUNK", 3)
    params = asked("writer", 7, dataset_id=LETTERS, label_policy="lsr", epsilon=0.1)
    data = made_by(shelf, tmp_path, params)
    assert data.manifest.counts == {"pictures": 7, "of a": 4, "of b": 3}
    assert (data.manifest.label_policy, data.manifest.epsilon) == (LabelPolicy.LSR, 0.1)
    assert data.manifest.lineage["parents"][0]["id"] == LETTERS
    pictures = read_pictures(data.folder / "images")
    assert np.bincount(pictures.labels).tolist() == [4, 3]


def lineage_of(data: MadeData) -> list[dict[str, str]]:
    return list(csv.DictReader((data.folder / "lineage.csv").read_text().splitlines()))


def darkening(home, name: str, **settings) -> None:
    """Of squares: what it made of a picture can be told from the picture."""
    inputs = {"images": ["B", 3, SIDE, SIDE]}
    if "classes" in settings:
        inputs["targets"] = ["B", settings["classes"]]
    square = helper.make_node("Mul", ["images", "images"], ["made"])
    store_model(home, name, inputs, [square], **settings)


def made_of_named_source(shelf: Shelf, data: MadeData) -> bool:
    """Whether each made picture is the square of the one that its lineage names."""
    for row in lineage_of(data):
        source = shelf.folder / LETTERS / "images" / row["source_class"] / row["source_file"]
        before, after = (
            decode(path.read_bytes(), "rgb") / 255
            for path in (source, data.folder / "images" / row["file"])
        )
        assert np.abs(before**2 - after).max() < 0.01
    return True


def test_what_is_translated_to_a_class_is_of_that_class_and_its_lineage_says_what_it_was(
    shelf, tmp_path
):
    darkening(tmp_path, "any", classes=2, names=["b", "a"])
    data = made_by(shelf, tmp_path, asked("any", 5, dataset_id=LETTERS))
    rows = lineage_of(data)
    assert [row["target_class"] for row in rows] == ["b", "a", "b", "a", "b"]
    assert [row["file"].split("/")[0] for row in rows] == ["b", "a", "b", "a", "b"]
    assert {row["source_class"] for row in rows} == {"a", "b"}
    assert made_of_named_source(shelf, data)
    assert data.manifest.counts == {"pictures": 5, "of a": 2, "of b": 3}
    assert data.manifest.lineage["pictures"] == "lineage.csv"


def test_a_pair_translates_its_first_class_alone_and_its_data_set_has_the_second_alone(
    shelf, tmp_path
):
    darkening(tmp_path, "pair", names=["b", "a"])
    data = made_by(shelf, tmp_path, asked("pair", 5, dataset_id=LETTERS))
    rows = lineage_of(data)
    assert {(row["source_class"], row["target_class"]) for row in rows} == {("b", "a")}
    assert made_of_named_source(shelf, data)
    assert data.manifest.classes == read_pictures(data.folder / "images").classes == ("a",)
    assert data.manifest.counts == {"pictures": 5, "of a": 5}


def test_a_style_that_is_no_class_of_the_pictures_leaves_them_their_labels(shelf, tmp_path):
    data = made_by(shelf, tmp_path, asked("darkener", 6, dataset_id=LETTERS))
    rows = lineage_of(data)
    assert all(row["file"].split("/")[0] == row["source_class"] for row in rows)
    assert [row["target_class"] for row in rows] == ["c1", "c3"] * 3


def test_people_are_published_with_the_labels_that_were_ordered_and_can_be_learnt_from(
    shelf, tmp_path
):
    usual = made_by(shelf, tmp_path, asked("darkener", 4, dataset_id=CROPS), NEXT).manifest
    assert (usual.label_policy, usual.epsilon) == (LabelPolicy.LSR, 0.1)
    assert (usual.classes, usual.height, usual.width) == (("c1", "c3"), 32, 16)
    assert usual.lineage["parents"][0]["sha256"] == shelf.get(CROPS).manifest.sha256
    check_data(system_of("stargan"), usual, ("c3", "c1"))
    shelf.remove(NEXT)
    for policy in ({"label_policy": "hard"}, {"label_policy": "lsr", "epsilon": 0.5}):
        made = made_by(shelf, tmp_path, asked("darkener", 2, dataset_id=CROPS, **policy), NEXT)
        told = (made.manifest.label_policy, made.manifest.epsilon)
        assert told == (policy["label_policy"], policy.get("epsilon"))
        shelf.remove(NEXT)


def test_people_get_the_style_of_the_other_camera_and_keep_their_number(shelf, tmp_path):
    data = made_by(shelf, tmp_path, asked("darkener", 4, dataset_id=CROPS))
    ways = sorted(image.name[:7] for image in data.images)
    assert ways == ["0001_c1", "0001_c3", "0002_c1", "0002_c3"]
    assert decode(data.images[0].read_bytes(), "rgb").shape == (32, 16, 3)
    assert is_marked((tmp_path / JOB / "sheet.png").read_bytes())
    with pytest.raises(Malformed) as refused:
        generate(asked("darkener", 5, dataset_id=CROPS), Watched(tmp_path / "job", NEXT))
    assert refused.value.code == "too_few_persons"


def test_pictures_of_another_size_are_brought_to_the_models(shelf, tmp_path):
    write_data(shelf, NEXT, ["a/1.png", "b/2.png"], ("a", "b"), kind="characters", width=19)
    data = made_by(shelf, tmp_path, asked("writer", 2, dataset_id=NEXT))
    assert decode(data.images[0].read_bytes(), "rgb").shape == (SIDE, SIDE, 3)
    card = ModelStore(tmp_path / "models").card("writer")
    gray = card.model_copy(update={"settings": card.settings | {"channels": 1}})
    ModelStore(tmp_path / "models").save(gray, tmp_path / "models" / "writer" / "writer.onnx")
    with pytest.raises(Malformed) as refused:
        generate(asked("writer", 2, dataset_id=NEXT), Watched(tmp_path / "job", LETTERS[:-1] + "9"))
    assert refused.value.code == "bad_size"


def test_made_pictures_are_measured_beside_the_data_set(shelf, tmp_path):
    params = asked("writer", 8, dataset_id=LETTERS, extractor="writer-features")
    pixels = ["B", 3, SIDE, SIDE]
    store_model(
        tmp_path,
        "writer-features",
        {"x": pixels},
        [helper.make_node("Identity", ["x"], ["made"])],
    )
    metrics = made_by(shelf, tmp_path, params).manifest.metrics
    (kid,) = [value for name, value in metrics.items() if name.startswith("kid_writer-features")]
    (recall,) = [value for name, value in metrics.items() if name.startswith("recall_")]
    assert np.isfinite(kid)
    assert 0 <= recall <= 1


def test_what_cannot_be_measured_is_refused_before_anything_is_made(shelf, tmp_path):
    for changes, code in (
        ({"n": 5}, "too_few_pictures"),
        ({"extractor": "darkener"}, "no_extractor"),
        ({"extractor": "drawer"}, "no_extractor"),
        ({"dataset_id": CROPS, "model": "darkener"}, "too_few_pictures"),
    ):
        usual = {"model": "writer", "n": 8, "dataset_id": LETTERS, "extractor": "eyes"}
        pixels = ["B", 3, SIDE, SIDE]
        same = helper.make_node("Identity", ["x"], ["made"])
        store_model(tmp_path, "eyes", {"x": pixels}, [same])
        seen = Watched(tmp_path / "job", JOB)
        with pytest.raises(Malformed) as refused:
            generate(asked(**(usual | changes)), seen)
        assert (refused.value.code, seen.notes) == (code, [])


def test_crops_are_measured_beside_those_of_the_cameras_that_they_look_like(shelf, tmp_path):
    crops = [f"{p:04}_c{c}s1_00000{p}_00.png" for p in range(8) for c in (1, 2, 3)]
    write_data(shelf, NEXT, crops, ("c1", "c2", "c3"), kind="persons", width=16, height=32)
    measure = Measure(ModelStore(MODELS).load("msp-cnn"), shelf.get(NEXT))
    names = [path.name[:7] for path in measure._real(("c3",))]
    assert names == [f"{person:04}_c3" for person in range(1, 8)]  # person 0 is nobody


def test_one_that_is_stopped_leaves_nothing_and_one_that_was_killed_is_begun_anew(
    shelf, tmp_path, monkeypatch
):
    monkeypatch.setattr(generating, "CHUNK", 2)
    with pytest.raises(JobCancelled):
        generate(asked("drawer"), Watched(tmp_path / "job", JOB, "2 of 6"))
    assert sorted(path.name for path in shelf.folder.iterdir()) == [LETTERS, CROPS]
    (shelf.draft(JOB) / "images").mkdir(parents=True)
    (shelf.draft(NEXT) / "images").mkdir(parents=True)
    assert len(made_by(shelf, tmp_path, asked("drawer")).images) == 6
    seen = Watched(tmp_path / "job", JOB)
    assert generate(asked("drawer"), seen)["counts"] == {"pictures": 6}
    assert seen.notes == [], "it had been done before its process died"


def test_what_cannot_be_made_is_refused(shelf, tmp_path):
    for params, error, code in (
        (asked("nobody"), Missing, "unknown_model"),
        (asked("writer"), Malformed, "pictures_needed"),
        (asked("drawer", dataset_id=NEXT), Missing, "unknown_dataset"),
    ):
        with pytest.raises(error) as refused:
            generate(params, Watched(tmp_path / "job", JOB))
        assert refused.value.code == code


def test_on_a_full_disk_a_generation_fails_and_leaves_nothing(shelf, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        with pytest.raises(Unavailable) as refused:
            generate(asked("drawer"), Watched(tmp_path / "job", JOB))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert refused.value.code == "disk_full"
    assert sorted(path.name for path in shelf.folder.iterdir()) == [LETTERS, CROPS]


def test_people_are_made_in_the_style_of_the_cameras_that_are_asked_for_and_nobody_is(
    shelf, tmp_path
):
    crops = [f"{who}_c{c}s1_000001_00.png" for who in ("0001", "0000", "-1") for c in (1, 3)]
    write_data(shelf, NEXT, crops, ("c1", "c3"), kind="persons", width=16, height=32)
    data = made_by(shelf, tmp_path, asked("darkener", 1, dataset_id=NEXT, targets=("c3",)))
    assert [image.name[:7] for image in data.images] == ["0001_c3"]
    for changes, code in (
        ({"n": 2, "targets": ("c3",)}, "too_few_persons"),
        ({"targets": ("c2",)}, "unknown_class"),
        ({"targets": ("c3",), "dataset_id": LETTERS}, "not_persons"),
    ):
        refused = asked("darkener", **({"n": 1, "dataset_id": NEXT} | changes))
        with pytest.raises(Malformed) as error:
            generate(refused, Watched(tmp_path / "job", LETTERS[:-1] + "9"))
        assert error.value.code == code
