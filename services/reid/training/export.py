"""A trained network -> an ONNX file, proven to compute what the network does."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch

from services.reid.models.msp_cnn import INPUT_HEIGHT, INPUT_WIDTH
from shared.errors import Corrupt
from shared.inference import Provider, open_session

if TYPE_CHECKING:
    from pathlib import Path

    from services.reid.models.msp_cnn import UnitVectors

INPUT = "crops"
OUTPUT = "vector"
TOLERANCE = 1e-4
"""Between an element of torch's unit vector and ONNX Runtime's."""


def export(network: UnitVectors, path: Path) -> None:
    """Writes `crops` (B, 3, 144, 56) -> `vector` (B, 256) of unit length, for any B.

    Raises Corrupt where the file's vectors are not the network's.
    """
    exported = network.cpu().eval()
    example = torch.zeros(2, 3, INPUT_HEIGHT, INPUT_WIDTH)
    # The exporter tells of its own deprecations and passes; none of it concerns the caller.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            exported,
            (example,),
            path,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    verify(exported, path)


@torch.no_grad()
def verify(exported: UnitVectors, path: Path) -> None:
    """Raises Corrupt where ONNX Runtime and torch differ by more than TOLERANCE, at several batch
    sizes."""
    session = open_session(path, provider=Provider.CPU)
    for batch in (1, 3, 8):
        crops = torch.randn(
            (batch, 3, INPUT_HEIGHT, INPUT_WIDTH), generator=torch.Generator().manual_seed(batch)
        )
        difference = np.abs(session(crops.numpy())[0] - exported(crops).numpy()).max()
        if not difference <= TOLERANCE:
            raise Corrupt(
                f"{path.name} differs from its network by {difference:.2g}", code="export_differs"
            )
