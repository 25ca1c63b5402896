"""A labelled data set, made ones, and the model that serves -> trainings, and how each ranks the
people who were held out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from services.reid.embedder import Embedder
from services.reid.models.msp_cnn import shrunk
from services.reid.training.augmentation import centre_crops
from services.reid.training.folding import unfold
from services.reid.training.objectives import OBJECTIVES
from services.reid.training.settings import RECIPES, Network, Stage, TrainingSettings
from services.reid.training.trainer import Device, Trainer, held_out_ranking
from shared.errors import Conflict
from shared.inference import Provider, open_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from services.reid.core.evaluation import Ranking
    from services.reid.retraining import RetrainingParams
    from services.reid.training.made import MadeCrops
    from services.reid.training.pixels import LabelledPixels
    from services.reid.training.schedule import Progress
    from shared.model_store import ModelCard, StoredModel

STATISTICS_CROPS = 64
"""From which the batch norms take their statistics: they move on from there by every batch."""

ON_TOP = 4e-4
"""Learning rate of what goes on from a model: that with which msp-cnn was gone on with."""

SMALL = 2
"""Of a training from scratch: crops at half size, a quarter of the work."""


@dataclass(frozen=True)
class Training:
    """What all trainings of a job have in common. base: to go on from; None: from scratch."""

    settings: TrainingSettings
    learnt: LabelledPixels
    base: StoredModel | None

    def run(
        self, made: MadeCrops | None, checkpoint: Path, report: Callable[[Progress], None]
    ) -> Trainer:
        """To its end, from the checkpoint where there is one; each epoch writes it.

        Raises Conflict (`not_trainable`).
        """
        trainer = Trainer(self.learnt, self.settings, Device.best(), made)
        if checkpoint.is_file():
            trainer.resume(checkpoint)
        elif self.base is not None:
            warm = checkpoint.with_suffix(".warm")
            _write_warm(self.base, trainer, warm)
            trainer.start_from(warm)
            warm.unlink()
        trainer.run(checkpoint, report)
        return trainer


def settings_for(
    base: ModelCard | None, learnt: LabelledPixels, params: RetrainingParams
) -> TrainingSettings:
    """base: to go on from, at the size that it sees. Raises Conflict (`not_trainable`)."""
    network = params.network if base is None else base.settings.get("network", Network.MSP_CNN)
    recipe = RECIPES[Network(network)]
    return replace(
        recipe,
        stages=(Stage(epochs=params.epochs, shrink=SMALL if base is None else _shrink(base)),),
        learning_rate=params.learning_rate or (ON_TOP if base else recipe.learning_rate),
        warm_up_epochs=min(recipe.warm_up_epochs, params.epochs / 10),
        people=min(recipe.people, learnt.identities),
        held_out=params.held_out,
        seed=params.seed,
    )


def ranking_of(model: StoredModel, held_out: LabelledPixels) -> Ranking:
    """What a stored model makes of those who were held out."""
    embedder = Embedder(model, open_session(model.path, provider=Provider.CPU))
    vectors = embedder.embed(list(held_out.pixels.numpy()))
    return held_out_ranking(torch.from_numpy(vectors), held_out)


def _shrink(card: ModelCard) -> int:
    """Of the last epoch that the model has seen. Raises Conflict (`not_trainable`)."""
    epochs = [stage for stage in card.settings.get("stages", ()) if stage["epochs"]]
    if not epochs:
        raise Conflict(
            f"{card.name} is no network of our training, so nothing can be learnt on top of it:"
            " start from scratch",
            code="not_trainable",
        )
    shrink: int = epochs[-1]["shrink"]
    return shrink


def _write_warm(base: StoredModel, trainer: Trainer, path: Path) -> None:
    """The base's network as a checkpoint that a training starts from."""
    settings = trainer.settings
    objective = OBJECTIVES[settings.network](trainer.data.identities, settings)
    every = max(1, len(trainer.data) // STATISTICS_CROPS)
    crops = shrunk(centre_crops(trainer.data.pixels[::every]), trainer.shrink)
    unfold(objective.network, objective.head_name, base.path, crops)
    torch.save({"network": objective.network.state_dict()}, path)
