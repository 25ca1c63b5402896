"""Folders of crops and settings -> a trained model in the store, with its card."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from services.reid.models.msp_cnn import UnitVectors
from services.reid.training.calibration import cross_camera_pairs, fit_identity_prior
from services.reid.training.card import Training, card_of
from services.reid.training.export import export
from services.reid.training.made import read_made
from services.reid.training.pixels import LabelledPixels, hold_out, read_training
from services.reid.training.trainer import Device, Trainer, features_of, held_out_ranking
from shared.errors import Malformed
from shared.model_store import ModelStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

    from numpy.typing import NDArray

    from services.reid.training.schedule import Progress
    from services.reid.training.settings import TrainingSettings
    from shared.inference import Array
    from shared.model_store import StoredModel


@dataclass(frozen=True)
class Workshop:
    """One training with its data laid out."""

    trainer: Trainer
    held_out: LabelledPixels
    checkpoint: Path
    sources: tuple[str, ...]

    @classmethod
    def open(
        cls,
        folders: Sequence[Path],
        settings: TrainingSettings,
        checkpoint: Path,
        *,
        trial: int | None = None,
        start_from: Path | None = None,
        resume: bool = False,
        made: Sequence[Path] = (),
    ) -> Self:
        """Reads the crops. trial: of VIPeR, whose people are not trained on. start_from: a
        checkpoint of another training, whose features are a better start than chance. made: data
        sets beside the crops.

        Raises Missing (`no_crops`, `no_training_crops`), Malformed (`no_epochs`, `held_out`,
        `too_few_people`), what `read_training` and what `read_made` raise.
        """
        if not settings.epochs:
            raise Malformed("there are no epochs to train for; ask for one", code="no_epochs")
        kept, held = hold_out(read_training(folders, trial), settings.held_out, settings.seed)
        if kept.identities < settings.people:
            raise Malformed(
                f"{kept.identities} people are left to train on, and a batch takes"
                f" {settings.people}: give --people {kept.identities} or fewer",
                code="too_few_people",
            )
        _check_comparable(held)
        beside = read_made(made, kept) if made else None
        trainer = Trainer(kept, settings, Device.best(), beside)
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        if start_from is not None:
            trainer.start_from(start_from)
        if resume and checkpoint.is_file():
            trainer.resume(checkpoint)
        names = tuple(folder.resolve().name for folder in (*folders, *made))
        return cls(trainer, held, checkpoint, names)

    @property
    def summary(self) -> str:
        data = self.trainer.data
        made = f", {len(self.trainer.made)} made ones beside them" if self.trainer.made else ""
        return (
            f"{len(data)} crops of {data.identities} people to train on,"
            f" {len(self.held_out)} of {self.held_out.identities} held out{made}"
        )

    def train(self, report: Callable[[Progress], None]) -> None:
        self.trainer.run(self.checkpoint, report)

    def ship(self, out: Path, *, version: str, command: str, today: date) -> StoredModel:
        """Exports the network as it is now, and puts it into the store with its card."""
        trainer, held = self.trainer, self.held_out
        vectors = features_of(trainer, held)
        similarity, same = _pairs(vectors.numpy(), held)
        training = Training(
            name=out.name,
            version=version,
            command=command,
            data=" + ".join(self.sources),
            identities=trainer.data.identities,
            crops=len(trainer.data),
            steps=trainer.steps_done,
            minutes=trainer.minutes,
            settings=trainer.settings,
            trained_on=today,
        )
        with tempfile.TemporaryDirectory() as folder:
            onnx = Path(folder) / f"{out.name}.onnx"
            export(UnitVectors(trainer.network, trainer.shrink), onnx)
            card = card_of(
                trainer.objective,
                onnx,
                training,
                fit_identity_prior(similarity, same),
                held_out_ranking(vectors, held),
            )
            return ModelStore(out.parent).save(card, onnx)


def _pairs(vectors: Array, held: LabelledPixels) -> tuple[Array, NDArray[np.bool_]]:
    return cross_camera_pairs(
        vectors, held.people.numpy(), held.cameras.numpy(), held.sources.numpy()
    )


def _check_comparable(held: LabelledPixels) -> None:
    """Before the training, or hours later there would be no card."""
    _, same = _pairs(np.zeros((len(held), 1), np.float32), held)
    if same.all() or not same.any():
        raise Malformed(
            f"of {held.identities} people held out {'no two' if same.any() else 'none'} were seen"
            " by two cameras, so nobody can be compared with anybody: give more crops, or a larger"
            " --held-out",
            code="held_out",
        )
