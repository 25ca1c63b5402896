"""STAE on every runtime of this machine, bare and as a service -> clips a second, side by side.

Run by `make bench`. What is compared is measured in the same rounds, one after the other: other
work on the machine slows them alike, and the medians of ratios stand.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import torch

from services.anomaly.core.clip import gray_clip, to_network_input
from services.anomaly.settings import AnomalySettings
from shared.images import encode_jpeg
from shared.inference import Precision, Provider, has_bf16, has_cuda, has_openvino, open_session
from shared.model_store import ModelStore, StoredModel
from tests.benchmarks.anomaly_process import AnomalyProcess, Turn, street
from tests.torch_twin import torch_twin

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results" / "anomaly.md"
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "7"))
TURN_S = 2.0
"""How long a contender works in each round, about."""

LANES, THREADS = AnomalySettings().inference_lanes, AnomalySettings().inference_threads
GPU_BATCH = 32
FRAMES, FPS = 16, 10
BASE = "ONNX Runtime fp32"


@dataclass
class Contender:
    """of, goal: for a worker, the bare model that it is measured against, and the share of its rate
    that is wanted."""

    name: str
    turn: Callable[[], Awaitable[Turn]]
    of: str | None = None
    goal: float | None = None
    turns: list[Turn] = field(default_factory=list)


class Bare:
    """A model on decoded clips in memory, on the lanes and threads that the service has."""

    def __init__(self, run: Callable[[np.ndarray], object], clips: np.ndarray, lanes: int) -> None:
        self._run, self._clips, self._lanes = run, clips, lanes
        self._threads = ThreadPoolExecutor(lanes)
        run(clips)  # the first pass prepares more than it computes
        began = time.perf_counter()
        run(clips)
        self._passes = max(1, math.ceil(TURN_S / (time.perf_counter() - began)))

    async def turn(self) -> Turn:
        return await asyncio.to_thread(self._turn)

    def _turn(self) -> Turn:
        began, spent_s = time.perf_counter(), time.process_time()
        list(self._threads.map(self._lane, range(self._lanes)))
        clips = self._lanes * self._passes * len(self._clips)
        return Turn(
            clips_per_s=clips / (time.perf_counter() - began),
            core_ms=1000 * (time.process_time() - spent_s) / clips,
        )

    def _lane(self, _number: int) -> None:
        for _ in range(self._passes):
            self._run(self._clips)


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
        Contender(f"torch eager, batch {size}", Bare(eager, clip.repeat(size, 0), LANES).turn)
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
        bare = Bare(session, clip.repeat(runtime.batch, 0), LANES)
        found.append(Contender(runtime.name, bare.turn))
    return found


async def worker_of(runtime: Runtime, bare: Contender, process: AnomalyProcess) -> Contender:
    """The whole service on a runtime, warm."""
    in_hand = 2 * LANES * runtime.batch
    clips = 2 * in_hand + math.ceil(TURN_S * (await bare.turn()).clips_per_s)
    await process.turn(clips, in_hand)
    return Contender(
        f"worker on {runtime.name}",
        lambda: process.turn(clips, in_hand),
        of=bare.name,
        goal=runtime.goal,
    )


async def measure(contenders: list[Contender]) -> None:
    """Interleaved rounds, each beginning with another contender."""
    for turn in range(ROUNDS):
        begin = turn % len(contenders)
        for contender in contenders[begin:] + contenders[:begin]:
            contender.turns.append(await contender.turn())


def table(contenders: list[Contender]) -> str:
    """Markdown. Every ratio is the median over rounds of ratios within a round."""
    turns = {contender.name: contender.turns for contender in contenders}

    def ratio(name: str, base: str) -> float:
        return median(a.clips_per_s / b.clips_per_s for a, b in pairs(name, base))

    def saving(name: str, base: str) -> float:
        return median(b.core_ms / a.core_ms for a, b in pairs(name, base))

    def pairs(name: str, base: str) -> Iterable[tuple[Turn, Turn]]:
        return zip(turns[name], turns[base], strict=True)

    lines = [
        f"| STAE, {LANES} lanes of {THREADS} thread | clips/s | cameras at {FPS} frames/s"
        f" | against {BASE} | of the bare model | core-ms a clip | of the bare model |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in contenders:
        rate = median(turn.clips_per_s for turn in one.turns)
        share, cost = "", ""
        if one.of:
            goal = f" (goal {one.goal:.2f})" if one.goal else ""
            share = f"{ratio(one.name, one.of):.2f}{goal}"
            cost = f"{saving(one.name, one.of):.2f}"
        lines.append(
            f"| {one.name} | {rate:.1f} | {rate * FRAMES / FPS:.1f} | {ratio(one.name, BASE):.2f}"
            f" | {share} | {median(turn.core_ms for turn in one.turns):.0f} | {cost} |"
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
