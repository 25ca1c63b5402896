"""What an evaluation calls `as served` is what intake cuts and the worker says."""

from __future__ import annotations

import time

import numpy as np
import pytest

from services.anomaly.scorer import Scorer
from services.anomaly.training.footage import Recording
from services.anomaly.training.regimes import Regime, RegimeSettings, model_traces
from services.gateway.core.camera import Camera
from services.gateway.intake.window import Windows
from services.gateway.settings import GatewaySettings
from shared.clock import SECOND_US
from shared.images import encode_jpeg
from shared.inference import Provider, open_session
from shared.messages import FrameRef, Outcome
from shared.model_store import ActivationMap
from tests.dummy_models import averaging_autoencoder
from tests.unit.anomaly.test_blend import plus
from tests.unit.anomaly.test_worker import running

INTERVAL_US = 200_000


def film(folder, frames):
    """A square that walks, and grows brighter by leaps: no two windows have the same mean."""
    random = np.random.default_rng(7)
    for n in range(frames):
        pixels = np.full((96, 128, 3), 60, np.uint8)
        pixels[30:60, 2 * n : 2 * n + 30] = random.integers(80, 255)
        (folder / f"{n:03}.jpg").write_bytes(encode_jpeg(pixels))
    return Recording("film", tuple(sorted(folder.glob("*.jpg"))), fps=SECOND_US / INTERVAL_US)


async def push(bus, camera, recording):
    """The recording's frames through intake's own script, and the sweep that ends its window."""
    windows = Windows(bus, GatewaySettings(soft_backlog=1000, hard_backlog=2000))
    begin_us = time.time_ns() // 1000 - INTERVAL_US * (len(recording) + 1)
    for n, path in enumerate(recording.frames):
        captured_us = begin_us + n * INTERVAL_US
        body = path.read_bytes()
        key = windows.keys(camera.id).frame(captured_us, f"{n}", len(body))
        await bus.frames.set(key, body)
        frame = FrameRef(key=key, captured_us=captured_us, width=128, height=96)
        answer = await windows.accept(camera, frame, f"{n}", "")
        assert answer.status == "accepted"

    async def find(_):
        return camera

    return await windows.sweep(find, now_us=time.time_ns() // 1000 + 3_600_000_000)


@pytest.mark.parametrize("make", [averaging_autoencoder, plus])
@pytest.mark.parametrize(
    ("stride", "frames", "clips", "left_to_the_sweep"),
    [(16, 48, 3, 0), (16, 37, 3, 1), (5, 33, 5, 1)],
    ids=["whole windows", "a tail", "overlapping windows and a tail"],
)
async def test_the_service_finds_the_errors_that_the_served_row_computes(
    bus, redis_server, tmp_path, make, stride, frames, clips, left_to_the_sweep
):
    (tmp_path / "film").mkdir()
    recording = film(tmp_path / "film", frames)
    stored = make(tmp_path / "models")
    camera = Camera(id="gate", name="gate", stride=stride, analysis_fps=5)
    async with running(bus, redis_server, tmp_path) as service:
        await ActivationMap(bus.redis, "anomaly").activate(bus, stored.card.name, camera_id="gate")
        await service.serves(stored.card.name)
        assert await push(bus, camera, recording) == left_to_the_sweep
        scored = sorted(await service.outcomes(clips), key=lambda clip: clip.seq)
    assert [clip.outcome for clip in scored] == [Outcome.DONE] * clips
    said = [score.error for clip in scored for score in clip.scores]

    scorer = Scorer(stored, open_session(stored.path, provider=Provider.CPU))
    traces = model_traces(scorer, recording, RegimeSettings(stride=3, served_stride=stride))
    assert traces[Regime.SERVED].errors == pytest.approx(said, rel=1e-5)
    # And the two rows are not the same thing by another name.
    assert traces[Regime.OFFLINE].errors != pytest.approx(said, rel=0.05)
