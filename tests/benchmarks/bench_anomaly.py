"""STAE on every runtime of this machine, bare and as a service -> clips a second, side by side.

Run by `make bench`.
"""

from __future__ import annotations

import math
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from services.anomaly.core.clip import gray_clip, to_network_input
from services.anomaly.settings import AnomalySettings
from shared.images import encode_jpeg
from shared.inference import Precision, Provider, has_bf16, has_cuda, has_openvino, open_session
from shared.model_store import ModelStore, StoredModel
from tests.benchmarks.anomaly_process import AnomalyProcess, street
from tests.benchmarks.rounds import TURN_S, Bare, Contender, measure
from tests.torch_twin import torch_twin

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results" / "anomaly.md"
LANES, THREADS = AnomalySettings().inference_lanes, AnomalySettings().inference_threads
GPU_BATCH = 32
FRAMES, FPS = 16, 10
BASE = "ONNX Runtime fp32"


@dataclass(frozen=True)
class Runtime:
    """What a model runs on, bare and in the service. goal: the share of the bare model's rate that
    the whole worker should reach."""

    name: str
    provider: Provider
    precision: Precision = Precision.FP32
    batch: int = 1
    goal: float | None = None


def runtimes() -> list[Runtime]:
    """Those that this machine has; what is missing is said."""
    found = [Runtime(BASE, Provider.CPU, goal=0.9)]
    if has_openvino():
        found.append(Runtime("OpenVINO fp32", Provider.OPENVINO))
    if has_bf16():
        found.append(Runtime("OpenVINO bf16", Provider.OPENVINO, Precision.BF16, goal=0.75))
    if has_cuda():
        found.append(Runtime("ONNX Runtime CUDA", Provider.CUDA, batch=GPU_BATCH))
    return found


def missing() -> list[str]:
    """Why rows are missing from the table."""
    said = []
    if not has_openvino():
        said.append("OpenVINO is not installed.")
    elif not has_bf16():
        said.append("This processor has no bf16: OpenVINO bf16 was not measured.")
    if not has_cuda():
        said.append("No GPU: CUDA was not measured.")
    return said


def bare_contenders(model: StoredModel, clip: np.ndarray) -> list[Contender]:
    """Torch as it comes, and every runtime."""
    torch.set_num_threads(THREADS)
    network = torch_twin(model.path)

    def eager(clips: np.ndarray) -> object:
        with torch.inference_mode():
            return network(torch.from_numpy(clips))

    found = [
        Contender(
            f"torch eager, batch {size}", Bare(eager, clip.repeat(size, 0), LANES, TURN_S).turn
        )
        for size in (1, 8)
    ]
    for runtime in runtimes():
        session = open_session(
            model.path,
            provider=runtime.provider,
            precision=runtime.precision,
            lanes=LANES,
            threads=THREADS,
        )
        bare = Bare(session, clip.repeat(runtime.batch, 0), LANES, TURN_S)
        found.append(Contender(runtime.name, bare.turn))
    return found


async def worker_of(runtime: Runtime, bare: Contender, process: AnomalyProcess) -> Contender:
    """The whole service on a runtime, warm."""
    in_hand = 2 * LANES * runtime.batch
    clips = 2 * in_hand + math.ceil(TURN_S * (await bare.turn()).per_s)
    await process.turn(clips, in_hand)
    return Contender(
        f"worker on {runtime.name}",
        lambda: process.turn(clips, in_hand),
        of=bare.name,
        goal=runtime.goal,
    )


def table(contenders: list[Contender]) -> str:
    """Markdown."""
    named = {contender.name: contender for contender in contenders}
    lines = [
        f"| STAE, {LANES} lanes of {THREADS} thread | clips/s | cameras at {FPS} frames/s"
        f" | against {BASE} | of the bare model | core-ms a clip | of the bare model |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in contenders:
        share, cost = "", ""
        if one.of:
            goal = f" (goal {one.goal:.2f})" if one.goal else ""
            share = f"{one.rate_against(named[one.of]):.2f}{goal}"
            cost = f"{one.thrift_against(named[one.of]):.2f}"
        lines.append(
            f"| {one.name} | {one.per_s:.1f} | {one.per_s * FRAMES / FPS:.1f}"
            f" | {one.rate_against(named[BASE]):.2f} | {share} | {one.core_ms:.0f} | {cost} |"
        )
    return "\n".join(lines)


async def test_the_worker_is_nearly_as_fast_as_its_model(redis_server, tmp_path):
    model = ModelStore(ROOT / "models").load(AnomalySettings().anomaly_model)
    frames = street(FRAMES)
    clip = to_network_input(gray_clip(frames, width=128, height=128))[None]
    contenders = bare_contenders(model, clip)
    bodies = [encode_jpeg(frame) for frame in frames]
    async with AsyncExitStack() as processes:
        for number, runtime in enumerate(runtimes()):
            process = await processes.enter_async_context(
                AnomalyProcess(
                    tmp_path / str(number),
                    f"{redis_server.url}?db={number}",
                    ROOT / "models",
                    bodies,
                    inference_provider=runtime.provider,
                    inference_precision=runtime.precision,
                    batch_size=runtime.batch,
                )
            )
            (bare,) = (one for one in contenders if one.name == runtime.name)
            contenders.append(await worker_of(runtime, bare, process))
        await measure(contenders)
    report = "\n\n".join([table(contenders), *missing()])
    print(f"\n{report}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(f"{report}\n")
