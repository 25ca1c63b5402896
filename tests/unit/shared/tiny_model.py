"""A model that can be checked by hand: pixels in, twice their sum out."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from onnx import TensorProto, helper, save

from shared.model_store import ModelCard, TensorSpec, sha256_of


def write_onnx(path: Path, factor: float = 2.0) -> Path:
    """(B, 3) float32 -> `total` (B,): the factor times the sum of each row, and `pixels` (B, 3)."""
    graph = helper.make_graph(
        [
            helper.make_node("ReduceSum", ["pixels", "axes"], ["sum"], keepdims=0),
            helper.make_node("Mul", ["sum", "factor"], ["total"]),
            helper.make_node("Identity", ["pixels"], ["same"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["B", 3])],
        [
            helper.make_tensor_value_info("total", TensorProto.FLOAT, ["B"]),
            helper.make_tensor_value_info("same", TensorProto.FLOAT, ["B", 3]),
        ],
        [
            helper.make_tensor("axes", TensorProto.INT64, [1], [1]),
            helper.make_tensor("factor", TensorProto.FLOAT, [], [factor]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(model, str(path))
    return path


def card_of(onnx: Path, name: str) -> ModelCard:
    return ModelCard(
        name=name,
        version="1",
        service="anomaly",
        summary="doubles",
        paper="none",
        file="model.onnx",
        sha256=sha256_of(onnx),
        input=TensorSpec(name="pixels", shape=(-1, 3), layout="BC", colour="gray"),
        outputs=("total", "same"),
        parameters=1,
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
        limits="it only doubles",
    )
