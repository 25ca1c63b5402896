"""Re-ID models on every runtime of this machine, by batch size -> crops a second, side by side.

Run by `make bench`. BENCH_MODELS names other models of the store. "the service's
embedder" is what the worker calls: crops of any size, resized, cut and normalised.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch

from services.reid.embedder import Embedder
from services.reid.models.msp_cnn import MspCnn, UnitVectors
from services.reid.models.osnet import OsNet
from services.reid.settings import ReidSettings
from shared.inference import Precision, Provider, has_bf16, has_cuda, has_openvino, open_session
from shared.model_store import ModelStore, StoredModel
from tests.benchmarks.rounds import Bare, Contender, measure

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results" / "embedder.md"
BATCHES = (1, 8, 32)
TURN_S = 1.0
BASE = "ONNX Runtime fp32, batch 8"
NAMES = os.environ.get("BENCH_MODELS", "msp-cnn").split(",")
LANES, THREADS = ReidSettings().inference_lanes, ReidSettings().inference_threads


def torch_network(model: StoredModel) -> torch.nn.Module:
    """The stored network as torch has it before it is exported: its own weights do not matter for
    speed."""
    nodes = onnx.load(model.path).graph.node
    shrink = _kernel(nodes[0]) if nodes[0].op_type == "AveragePool" else 1
    network = OsNet if "omni-scale" in model.card.paper.lower() else MspCnn
    return UnitVectors(network(identities=2), shrink).eval()


def _kernel(node: onnx.NodeProto) -> int:
    (shape,) = (one.ints for one in node.attribute if one.name == "kernel_shape")
    return int(shape[0])


def contenders_of(model: StoredModel, crops: list[np.ndarray]) -> list[Contender]:
    """Torch as it comes, and every runtime, at every batch size; then the service's embedder."""
    torch.set_num_threads(THREADS)
    network = torch_network(model)

    def eager(batch: np.ndarray) -> object:
        with torch.inference_mode():
            return network(torch.from_numpy(batch))

    runs: dict[str, Callable[[np.ndarray], object]] = {"torch eager": eager}
    for name, provider, precision in runtimes():
        runs[name] = open_session(
            model.path, provider=provider, precision=precision, lanes=LANES, threads=THREADS
        )
    shape = model.card.input.shape[1:]
    pixels = np.random.default_rng(0).standard_normal((max(BATCHES), *shape), np.float32)
    found = [
        Contender(f"{name}, batch {size}", Bare(run, pixels[:size], LANES, TURN_S).turn)
        for name, run in runs.items()
        for size in BATCHES
    ]
    session = open_session(model.path, lanes=LANES, threads=THREADS)
    embedder = Embedder(model, session)
    whole = Bare(embedder.embed, np.stack(crops), LANES, TURN_S)
    return [*found, Contender(f"the service's embedder, {session.provider}", whole.turn)]


def runtimes() -> list[tuple[str, Provider, Precision]]:
    """Those that this machine has."""
    found = [("ONNX Runtime fp32", Provider.CPU, Precision.FP32)]
    if has_openvino():
        found.append(("OpenVINO fp32", Provider.OPENVINO, Precision.FP32))
    if has_bf16():
        found.append(("OpenVINO bf16", Provider.OPENVINO, Precision.BF16))
    if has_cuda():
        found.append(("ONNX Runtime CUDA", Provider.CUDA, Precision.FP32))
    return found


def table(model: StoredModel, contenders: list[Contender]) -> str:
    """Markdown."""
    (base,) = (one for one in contenders if one.name == BASE)
    lines = [
        f"| {model.card.name}, {LANES} lanes of {THREADS} thread | crops/s | against {BASE}"
        " | core-ms a crop |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {one.name} | {one.per_s:.0f} | {one.rate_against(base):.2f} | {one.core_ms:.2f} |"
        for one in contenders
    ]
    return "\n".join(lines)


async def test_embedding_crops():
    store = ModelStore(ROOT / "models")
    models = [store.load(name) for name in NAMES]
    rng = np.random.default_rng(1)
    # As large as a person is in a street camera's picture.
    crops = list(rng.integers(0, 256, (8, 128, 64, 3), dtype=np.uint8))
    tables = []
    for model in models:
        contenders = contenders_of(model, crops)
        await measure(contenders)
        tables.append(table(model, contenders))
    said = "\n\n".join([*tables, *(() if has_bf16() else ("This processor has no bf16.",))])
    print(f"\n{said}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(f"{said}\n")
