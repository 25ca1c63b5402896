"""A STAE of 8 frames of 32 x 32 pixels that has learnt nothing, and a street to teach it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from services.anomaly.models.stae import Stae
from services.anomaly.training.export import INPUT, OUTPUT, export
from shared.clock import SECOND_US
from shared.images import encode_jpeg
from shared.messages import Prior
from shared.model_store import (
    AnomalyPrior,
    ModelCard,
    ModelStore,
    StoredModel,
    TensorSpec,
    sha256_of,
)
from shared.recorded_clip import RecordedClip, clip_key
from tests.dummy_models import ABOUT

FRAMES, SIDE = 8, 32
START_US = 1_770_000_000 * SECOND_US
FPS = 5


def untaught(folder: Path, name: str = "stae-tiny") -> StoredModel:
    """The model in a store: weights as they are drawn, seed 0."""
    torch.manual_seed(0)
    file = folder / "untaught.onnx"
    folder.mkdir(parents=True, exist_ok=True)
    export(Stae().eval(), file, channels=1, frames=FRAMES, side=SIDE)
    about = ABOUT | {"file": "stae.onnx"}
    card = ModelCard(
        **about,
        name=name,
        service="anomaly",
        sha256=sha256_of(file),
        input=TensorSpec(name=INPUT, shape=(-1, 1, FRAMES, SIDE, SIDE), layout="", colour="gray"),
        outputs=(OUTPUT,),
        anomaly=AnomalyPrior(
            score="max_patch",
            patch=8,
            frame=Prior(q50=0.05, q95=0.1, q99=0.2, q999=0.4),
            patch_q999=0.5,
            frames=100,
        ),
    )
    return ModelStore(folder).save(card, file)


def street(frames: int) -> np.ndarray:
    """(frames, 64, 96) uint8: somebody small and gray walks a pixel a frame over a bright pavement.

    A network that has learnt nothing draws all of it gray: who walks there is all that it gets
    right.
    """
    shown = np.full((frames, 64, 96), 230, np.uint8)
    for n, frame in enumerate(shown):
        column = n % 90
        frame[40:50, column : column + 5] = 128
    return shown


def record(
    blobs: Path, footage: str, pixels: np.ndarray, *, clip: int = FRAMES, start_us: int = START_US
) -> None:
    """As the gateway stores it, a blob a clip, but not to outlive a power cut."""
    for start in range(0, len(pixels) - clip + 1, clip):
        times = [start_us + (start + n) * SECOND_US // FPS for n in range(clip)]
        pictures = [encode_jpeg(frame, 95) for frame in pixels[start : start + clip]]
        body = RecordedClip(captured_us=times, pictures=pictures).pack()
        blob = blobs / clip_key(footage, times[0])
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(body)
