"""A trained system -> the ONNX file of what makes its images, proven equal, with its card."""

from __future__ import annotations

import copy
import logging
import warnings
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.export import Dim

from shared.errors import Corrupt
from shared.inference import Provider, open_session
from shared.model_store import ModelCard, ModelStore, StoredModel, TensorSpec, sha256_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from services.synthetic.models.system import System
    from services.synthetic.training.trainer import Trainer

OUTPUT = "made"
TOLERANCE = 1e-4
"""Greatest difference of a pixel in [0, 1]: a fortieth of a gray level of 8 bits."""


@dataclass(frozen=True)
class Provenance:
    """What the card says that no code can know. first: of the data's pictures so many were learnt
    from, in their order; None: all. classes: their names, in the order of their labels."""

    data: str
    command: str
    licence: str
    first: int | None = None
    classes: tuple[str, ...] = ()


def ship(trainer: Trainer, folder: Path, provenance: Provenance) -> StoredModel:
    """The network's file and its card in `folder`, of a store. What is served there from before is
    left as it is until the new file has proven equal. Raises Corrupt (`export_differs`)."""
    maker = copy.deepcopy(trainer.maker).eval().cpu()
    with TemporaryDirectory() as beside:
        file = Path(beside) / f"{trainer.system.NAME}.onnx"
        difference = export(trainer.system, maker, file)
        card = _card(folder.name, trainer, file, difference, provenance)
        return ModelStore(folder.parent).save(card, file)


def _card(
    name: str, trainer: Trainer, file: Path, difference: float, provenance: Provenance
) -> ModelCard:
    system = trainer.system
    inputs = system.example(2, torch.Generator())
    settings = {
        "system": system.NAME,
        "inputs": list(inputs),
        **asdict(system.settings),  # type: ignore[call-overload]
        "training": trainer.settings.model_dump(mode="json"),
        "first": provenance.first,
        "names": list(provenance.classes),
    }
    return ModelCard(
        name=name,
        version="1",
        service="synthetic",
        summary=f"{system.NAME}: {' and '.join(inputs)} -> images",
        paper=system.PAPER,
        file=file.name,
        sha256=sha256_of(file),
        input=_spec(system, *next(iter(inputs.items()))),
        outputs=(OUTPUT,),
        parameters=sum(weight.numel() for weight in trainer.maker.parameters()),
        training_data=provenance.data,
        training_command=provenance.command,
        training_steps=trainer.step,
        training_minutes=round(trainer.minutes, 1),
        seed=trainer.settings.seed,
        trained_on=datetime.now(UTC).date(),
        metrics={"export_difference": difference},
        metrics_data="none yet",
        licence=provenance.licence,
        intended_use="Making training data; what it makes is marked synthetic.",
        limits="Its images show nobody and prove nothing.",
        settings=settings,
    )


def _spec(system: System, name: str, first: Tensor) -> TensorSpec:
    """Of its first input, with an example of it."""
    return TensorSpec(
        name=name,
        shape=(-1, *first.shape[1:]),
        layout="BCHW" if first.ndim == 4 else "BN",
        colour="gray" if system.settings.channels == 1 else "rgb",
    )


def export(system: System, maker: nn.Module, file: Path) -> float:
    """Writes the maker, its batch free. Returns the greatest difference of a pixel."""
    example = system.example(3, torch.Generator().manual_seed(0))
    # The exporter tells of its own deprecations and passes; none of it concerns the caller.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            maker,
            tuple(example.values()),
            file,
            input_names=list(example),
            output_names=[OUTPUT],
            dynamic_shapes=tuple({0: Dim("batch")} for _ in example),
            external_data=False,
            dynamo=True,
            verbose=False,
        )
    session = open_session(file, provider=Provider.CPU)
    with torch.inference_mode():
        expected = maker(*example.values()).numpy()
    (found,) = session(*(one.numpy() for one in example.values()))
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE:
        raise Corrupt(f"{file} differs from its network by {difference:.2g}", code="export_differs")
    return difference
