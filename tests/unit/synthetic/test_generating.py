"""A stored model -> a made data set: its labels, its marks, its lineage; stopped and begun anew."""

from __future__ import annotations

import resource
from datetime import date

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from services.synthetic.generating import GenerationParams
from services.synthetic.settings import SyntheticSettings
from services.synthetic.shelf import Shelf
from services.synthetic.training import generating
from services.synthetic.training.generating import generate
from services.synthetic.training.pictures import read_pictures
from shared.errors import Malformed, Missing, Unavailable
from shared.images import decode
from shared.jobs import JobCancelled
from shared.made_data import LabelPolicy, MadeData, Outcome
from shared.mark import is_marked
from shared.model_store import ModelCard, ModelStore, TensorSpec, sha256_of
from tests.unit.synthetic.studio import Watched, write_data

LETTERS, CROPS, JOB, NEXT = (f"0000000000000000000000000{n}" for n in range(4))
SIDE = 8


def store_model(home, name: str, inputs: dict[str, list], nodes: list, **settings) -> None:
    """A network of a node or two: what it makes can be told beforehand."""
    made = helper.make_tensor_value_info("made", TensorProto.FLOAT, ["B", 3, SIDE, SIDE])
    given = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()]
    shape = helper.make_tensor("shape", TensorProto.INT64, [4], [-1, 3, SIDE, SIDE])
    graph = helper.make_graph(nodes, name, given, [made], [shape])
    file = home / f"{name}.onnx"
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), file)
    card = ModelCard(
        name=name,
        version="1",
        service="synthetic",
        summary="for tests",
        paper="none",
        file=file.name,
        sha256=sha256_of(file),
        input=TensorSpec(name="x", shape=(-1, 3, SIDE, SIDE), layout="BCHW", colour="rgb"),
        outputs=("made",),
        parameters=0,
        training_data="letters",
        training_command="none",
        training_steps=1,
        training_minutes=0,
        seed=0,
        trained_on=date(2026, 1, 1),
        metrics={},
        metrics_data="none",
        licence="CC0",
        intended_use="tests",
        limits="tests",
        settings={
            "system": name,
            "inputs": list(inputs),
            "width": SIDE,
            "height": SIDE,
            **settings,
        },
    )
    ModelStore(home / "models").save(card, file)


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
