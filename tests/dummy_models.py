"""Models whose answers can be computed by hand: no weights are needed to test around them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from shared.messages import Prior
from shared.model_store import (
    AnomalyPrior,
    IdentityPrior,
    ModelCard,
    ModelStore,
    StoredModel,
    TensorSpec,
    sha256_of,
)

ABOUT = {
    "version": "0",
    "summary": "computed by hand",
    "paper": "none",
    "parameters": 0,
    "training_data": "none",
    "training_command": "none",
    "training_steps": 0,
    "training_minutes": 0.0,
    "seed": 0,
    "trained_on": date(2026, 1, 1),
    "metrics": {},
    "metrics_data": "none",
    "licence": "Apache-2.0",
    "intended_use": "tests",
    "limits": "tests",
    "file": "model.onnx",
}


def halving_autoencoder(folder: Path, name: str = "halves", factor: float = 0.5) -> StoredModel:
    """Reconstructs every pixel as half of itself: the squared error of a pixel x is (x / 2)^2."""
    half = numpy_helper.from_array(np.array(factor, np.float32), "half")
    nodes = [helper.make_node("Mul", ["clip", "half"], ["reconstruction"])]
    return _autoencoder(folder, name, nodes, [half])


def averaging_autoencoder(folder: Path, name: str = "averages") -> StoredModel:
    """Reconstructs every frame as the mean of its clip: a frame's error depends on its window."""
    none = numpy_helper.from_array(np.array(0.0, np.float32), "none")
    time = numpy_helper.from_array(np.array([2], np.int64), "time")
    nodes = [
        helper.make_node("ReduceMean", ["clip", "time"], ["mean"], keepdims=1),
        helper.make_node("Mul", ["clip", "none"], ["nothing"]),
        helper.make_node("Add", ["nothing", "mean"], ["reconstruction"]),
    ]
    return _autoencoder(folder, name, nodes, [none, time])


def _autoencoder(folder: Path, name: str, nodes: list, constants: list) -> StoredModel:
    shape = ["batch", 1, 16, 128, 128]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("clip", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("reconstruction", TensorProto.FLOAT, shape)],
        constants,
    )
    prior = AnomalyPrior(
        score="max_patch",
        patch=8,
        frame=Prior(q50=0.01, q95=0.02, q99=0.03, q999=0.04),
        patch_q999=0.05,
        frames=100,
    )
    spec = TensorSpec(name="clip", shape=(-1, 1, 16, 128, 128), layout="NCTHW", colour="gray")
    return _store(
        folder,
        graph,
        name=name,
        service="anomaly",
        input=spec,
        outputs=("reconstruction",),
        anomaly=prior,
    )


def colour_embedder(folder: Path, name: str = "colours") -> StoredModel:
    """The crop's mean colour as a unit vector, in the first three of 256 dimensions."""
    size = [144, 56]
    pad = numpy_helper.from_array(np.array([0, 0, 0, 253], np.int64), "pad")
    axes = numpy_helper.from_array(np.array([2, 3], np.int64), "axes")
    nodes = [
        helper.make_node("ReduceMean", ["crops", "axes"], ["mean"], keepdims=0),
        helper.make_node("Pad", ["mean", "pad"], ["wide"]),
        helper.make_node("LpNormalization", ["wide"], ["vector"], axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("crops", TensorProto.FLOAT, ["batch", 3, *size])],
        [helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["batch", 256])],
        [pad, axes],
    )
    prior = IdentityPrior(slope=40.0, offset=-36.0, same_person_q05=0.97, different_person_q99=0.9)
    spec = TensorSpec(name="crops", shape=(-1, 3, *size), layout="NCHW", colour="rgb")
    return _store(
        folder, graph, name=name, service="reid", input=spec, outputs=("vector",), identity=prior
    )


def lightening_translator(folder: Path, name: str = "lightens") -> StoredModel:
    """Of three classes. Adds 1 to the logit of every pixel, (3, 16, 8), for the second of them, and
    nothing for the others."""
    second = numpy_helper.from_array(np.array([0, 1, 0], np.float32).reshape(3, 1), "second")
    axes = numpy_helper.from_array(np.array([2, 3], np.int64), "axes")
    one = numpy_helper.from_array(np.array(1.0, np.float32), "one")
    nodes = [
        helper.make_node("MatMul", ["targets", "second"], ["light"]),
        helper.make_node("Unsqueeze", ["light", "axes"], ["everywhere"]),
        helper.make_node("Sub", ["one", "images"], ["dark"]),
        helper.make_node("Div", ["images", "dark"], ["odds"]),
        helper.make_node("Log", ["odds"], ["logit"]),
        helper.make_node("Add", ["logit", "everywhere"], ["lighter"]),
        helper.make_node("Sigmoid", ["lighter"], ["made"]),
    ]
    inputs = {"images": (3, 16, 8), "targets": (3,)}
    return _maker(folder, name, nodes, [second, axes, one], inputs)


def noise_painter(folder: Path, name: str = "paints") -> StoredModel:
    """Four numbers -> a gray picture, (3, 16, 8), as light as their sum's sigmoid."""
    axis = numpy_helper.from_array(np.array([1], np.int64), "axis")
    whole = numpy_helper.from_array(np.array([1, 3, 16, 8], np.int64), "whole")
    axes = numpy_helper.from_array(np.array([2, 3], np.int64), "axes")
    nodes = [
        helper.make_node("ReduceSum", ["noise", "axis"], ["sum"], keepdims=1),
        helper.make_node("Sigmoid", ["sum"], ["light"]),
        helper.make_node("Unsqueeze", ["light", "axes"], ["pixel"]),
        helper.make_node("Expand", ["pixel", "whole"], ["made"]),
    ]
    return _maker(folder, name, nodes, [axis, whole, axes], {"noise": (4,)})


def _maker(folder: Path, name: str, nodes: list, constants: list, inputs: dict) -> StoredModel:
    graph = helper.make_graph(
        nodes,
        name,
        [
            helper.make_tensor_value_info(one, TensorProto.FLOAT, ["batch", *shape])
            for one, shape in inputs.items()
        ],
        [helper.make_tensor_value_info("made", TensorProto.FLOAT, ["batch", 3, 16, 8])],
        constants,
    )
    first, shape = next(iter(inputs.items()))
    layout = "BCHW" if len(shape) == 3 else "BN"
    spec = TensorSpec(name=first, shape=(-1, *shape), layout=layout, colour="rgb")
    settings = {"system": name, "inputs": list(inputs), "height": 16, "width": 8, "noise": 4}
    return _store(
        folder,
        graph,
        name=name,
        service="synthetic",
        input=spec,
        outputs=("made",),
        settings=settings | {"classes": 3},
    )


def _store(folder: Path, graph: onnx.GraphProto, **card) -> StoredModel:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    file = folder / f"{card['name']}.onnx"
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, file)
    return ModelStore(folder).save(ModelCard(**ABOUT, **card, sha256=sha256_of(file)), file)
