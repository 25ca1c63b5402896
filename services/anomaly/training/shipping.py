"""A trained network -> its ONNX file, its prior and its card, in the model store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from services.anomaly.models.stae import StaeReconstruction
from services.anomaly.training.export import INPUT, OUTPUT, export
from services.anomaly.training.prior import with_prior
from shared.model_store import ModelCard, ModelStore, StoredModel, TensorSpec, sha256_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.anomaly.training.footage import Recording
    from services.anomaly.training.prior import Scoring
    from services.anomaly.training.trainer import Trainer

PAPER = (
    "Zhao, Deng, Shen, Liu, Lu, Hua: Spatio-Temporal AutoEncoder for Video Anomaly Detection,"
    " ACM Multimedia 2017"
)
FILE = "stae.onnx"


@dataclass(frozen=True)
class Provenance:
    """What the card says that no code can know."""

    summary: str
    training_data: str
    training_command: str
    licence: str
    intended_use: str
    limits: str


def ship(
    trainer: Trainer,
    folder: Path,
    *,
    scoring: Scoring,
    provenance: Provenance,
    held_out: Sequence[Recording],
) -> StoredModel:
    """Exports the network, measures the prior as serving will see it, puts file and card into
    `folder`, of a store; what is served there from before is left as it is until then."""
    settings = trainer.settings
    with TemporaryDirectory() as beside:
        file = Path(beside) / FILE
        difference = export(
            trainer.network,
            file,
            channels=settings.sight.channels,
            frames=settings.frames,
            side=settings.side,
        )
        draft = _draft(folder.name, trainer, file, difference, provenance)
        return ModelStore(folder.parent).save(with_prior(draft, file, scoring, held_out), file)


def _draft(
    name: str, trainer: Trainer, file: Path, difference: float, provenance: Provenance
) -> ModelCard:
    """Without a prior."""
    settings, sight = trainer.settings, trainer.settings.sight
    weights = StaeReconstruction(trainer.network).parameters()
    return ModelCard(
        name=name,
        version="1",
        service="anomaly",
        paper=PAPER,
        file=FILE,
        sha256=sha256_of(file),
        input=TensorSpec(
            name=INPUT,
            shape=(-1, sight.channels, settings.frames, settings.side, settings.side),
            layout="BCTHW",
            colour=sight.colour,
        ),
        outputs=(OUTPUT,),
        parameters=sum(weight.numel() for weight in weights),
        training_steps=trainer.step,
        training_minutes=round(trainer.minutes, 1),
        seed=settings.seed,
        trained_on=datetime.now(UTC).date(),
        metrics={"export_difference": difference},
        metrics_data="none yet: evaluate --record",
        settings=settings.model_dump(mode="json"),
        **vars(provenance),
    )
