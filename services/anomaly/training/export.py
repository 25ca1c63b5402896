"""A trained STAE -> an ONNX file that reconstructs clips, proven equal to the network."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.export import Dim

from services.anomaly.models.stae import StaeReconstruction
from shared.errors import Corrupt
from shared.inference import Provider, open_session

if TYPE_CHECKING:
    from pathlib import Path

    from services.anomaly.models.stae import Stae

INPUT, OUTPUT = "clip", "reconstruction"
TOLERANCE = 1e-4
"""Greatest difference of a pixel in [0, 1] between the file and the network: a fortieth of a gray
level of 8 bits."""


def export(network: Stae, file: Path, *, channels: int, frames: int, side: int) -> float:
    """Writes the reconstructing half; the batch is free, C, T, H and W are fixed.

    Returns the greatest difference found. Raises Corrupt (`export_differs`) where it is over
    TOLERANCE.
    """
    reconstruction = StaeReconstruction(network).eval().cpu()
    # Two clips: with one, the exporter takes the batch to be always one.
    noise = torch.Generator().manual_seed(0)
    example = torch.rand(2, channels, frames, side, side, generator=noise)
    with warnings.catch_warnings():
        # The exporter trips over its own deprecations.
        warnings.simplefilter("ignore", FutureWarning)
        torch.onnx.export(
            reconstruction,
            (example,),
            file,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: Dim("batch")},),
            external_data=False,
            dynamo=True,
            verbose=False,
        )
    return _verify(reconstruction, file, example)


def _verify(reconstruction: StaeReconstruction, file: Path, example: torch.Tensor) -> float:
    session = open_session(file, provider=Provider.CPU)
    greatest = 0.0
    for clips in (example, example[:1]):
        with torch.inference_mode():
            expected = reconstruction(clips).numpy()
        (found,) = session(clips.numpy())
        greatest = max(greatest, float(np.abs(found - expected).max()))
    if greatest > TOLERANCE:
        raise Corrupt(f"{file} differs from the network by {greatest:.2g}", code="export_differs")
    return greatest
