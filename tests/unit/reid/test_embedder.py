from __future__ import annotations

from datetime import date

import numpy as np
import onnx
import pytest

from services.reid.embedder import Embedder, centre, resize
from shared.errors import Malformed
from shared.inference import Provider, open_session
from shared.model_store import ModelCard, ModelStore, TensorSpec, sha256_of

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def pooling_graph(path):
    """Crops -> the normalised mean of each channel, in the first three of 256 places: what comes
    out can be computed by hand."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    spread = np.zeros((3, 256), np.float32)
    spread[:, :3] = np.eye(3)
    nodes = [
        helper.make_node("ReduceMean", ["crops", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "spread"], ["wide"]),
        helper.make_node("LpNormalization", ["wide"], ["vector"], axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        "pooling",
        [helper.make_tensor_value_info("crops", kind, ["B", 3, 144, 56])],
        [helper.make_tensor_value_info("vector", kind, ["B", 256])],
        [
            onnx.numpy_helper.from_array(spread, "spread"),
            onnx.numpy_helper.from_array(np.array([2, 3], np.int64), "axes"),
        ],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    file = pooling_graph(folder / "pooling.onnx")
    card = ModelCard(
        name="pooling",
        version="1",
        service="reid",
        summary="the mean colour",
        paper="none",
        file=file.name,
        sha256=sha256_of(file),
        input=TensorSpec(
            name="crops", shape=(-1, 3, 144, 56), layout="NCHW", colour="rgb", mean=MEAN, std=STD
        ),
        outputs=("vector",),
        parameters=0,
        training_data="none",
        training_command="none",
        training_steps=0,
        training_minutes=0.0,
        seed=0,
        trained_on=date(2026, 1, 1),
        metrics={},
        metrics_data="none",
        licence="Apache-2.0",
        intended_use="tests",
        limits="none",
    )
    return ModelStore(folder / "store").save(card, file)


@pytest.fixture(scope="module")
def embedder(model):
    return Embedder(model, open_session(model.path, provider=Provider.CPU), max_batch=4)


def plain(colour, height=120, width=50):
    return np.full((height, width, 3), colour, np.uint8)


def test_a_crop_is_normalised_as_its_card_says(embedder):
    colour = np.array([200, 90, 30])
    expected = (colour / 255 - MEAN) / STD
    (vector,) = embedder.embed([plain(colour)])
    assert vector[:3] == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)


def test_vectors_come_in_order_whatever_the_batches(embedder):
    rng = np.random.default_rng(0)
    crops = [plain(rng.integers(0, 255, 3), 40 + 9 * n, 20 + 3 * n) for n in range(11)]
    together = embedder.embed(crops)
    alone = np.concatenate([embedder.embed([crop]) for crop in crops])
    assert together.shape == (11, 256)
    assert together.dtype == np.float32
    assert np.allclose(together, alone, atol=1e-6)


def test_no_crops_are_no_vectors(embedder):
    assert embedder.embed([]).shape == (0, 256)


class CountingSession:
    """A session that notes how much it was given."""

    provider = precision = "none"

    def __init__(self):
        self.batches = []

    def __call__(self, batch):
        self.batches.append(batch.shape)
        return [np.ones((len(batch), 256), np.float32)]


def test_no_forward_pass_gets_more_than_the_batch_allows(model):
    session = CountingSession()
    Embedder(model, session, max_batch=4).embed([plain(9)] * 10)
    assert session.batches == [(4, 3, 144, 56), (4, 3, 144, 56), (2, 3, 144, 56)]


@pytest.mark.parametrize(
    ("crop", "code"),
    [
        (plain(1, 7, 50), "crop_too_small"),
        (plain(1, 60, 2), "crop_too_small"),
        (plain(1, 200, 10), "crop_aspect"),
        (plain(1, 10, 200), "crop_aspect"),
        (np.zeros((60, 30), np.uint8), "crop_shape"),
        (np.zeros((60, 30, 4), np.uint8), "crop_shape"),
        (np.zeros((60, 30, 3), np.float32), "crop_shape"),
        (np.zeros((0, 0, 3), np.uint8), "crop_too_small"),
    ],
)
def test_a_crop_that_cannot_show_a_person_is_refused_by_its_number(embedder, crop, code):
    with pytest.raises(Malformed, match="crop 1 ") as refusal:
        embedder.embed([plain(9), crop])
    assert refusal.value.code == code


def test_the_networks_input_is_the_middle_of_the_resized_crop():
    crop = np.zeros((160, 64, 3), np.uint8)
    crop[8:152, 4:60] = 255
    assert resize(crop).shape == (160, 64, 3)
    assert centre(resize(crop), 144, 56).min() == 255
    assert centre(resize(crop), 144, 56).shape == (144, 56, 3)
