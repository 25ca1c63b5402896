"""Labelled pixels -> a trained network, with a checkpoint after every epoch."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from services.reid.core.evaluation import Labels, rank
from services.reid.models.msp_cnn import UnitVectors, shrunk
from services.reid.training.augmentation import centre_crops, erased, random_crops
from services.reid.training.made import made_loss
from services.reid.training.objectives import OBJECTIVES, BatchLabels
from services.reid.training.sampling import epoch_batches
from services.reid.training.schedule import Progress, learning_rate_at, work_of
from shared.durable_file import write_durably

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from services.reid.core.evaluation import Ranking
    from services.reid.training.made import MadeCrops
    from services.reid.training.pixels import LabelledPixels
    from services.reid.training.settings import Stage, TrainingSettings


MADE_SEEDS = 5_000_000
"""Added to the seeds of an epoch for what made crops draw."""

IMPRINTED_CROPS = 4
"""Of each identity, whose mean feature becomes its row of the head."""

IMPRINTED_NORM = 1.5
"""Length of such a row; about that of a trained one."""


@dataclass(frozen=True)
class Device:
    """Where the arithmetic happens. bf16: autocast, worth it only where the hardware has it."""

    name: str
    bf16: bool

    @classmethod
    def best(cls) -> Device:
        if torch.cuda.is_available():
            return cls("cuda", bf16=True)
        return cls("cpu", bf16=torch.backends.cpu.get_cpu_capability().startswith("AVX512"))

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        return torch.autocast(self.name, torch.bfloat16, enabled=self.bf16)


class Trainer:
    """One training. Its randomness depends on the seed and the epoch alone, so that a resumed
    training goes on as it would have.

    made: crops of made data sets, of which each batch gets some beside its real ones; those are the
    same with and without them. None: none.
    """

    def __init__(
        self,
        data: LabelledPixels,
        settings: TrainingSettings,
        device: Device,
        made: MadeCrops | None = None,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.settings = settings
        self.device = device
        self.data = data
        self.made = made
        self.objective = OBJECTIVES[settings.network](data.identities, settings)
        self.network = self.objective.network
        self.network.to(device.name, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = _optimiser(self.network, settings)
        self.epochs_done = 0
        self.steps_done = 0
        self.minutes = 0.0

    @property
    def shrink(self) -> int:
        """Of the newest epoch: what the network is used to."""
        return self.settings.stage_of(max(0, self.epochs_done - 1)).shrink

    def run(self, checkpoint: Path, report: Callable[[Progress], None]) -> None:
        """All epochs that are still to be done, saving after each."""
        while self.epochs_done < self.settings.epochs:
            started = time.monotonic()
            self._epoch(report)
            self.epochs_done += 1
            self.minutes += (time.monotonic() - started) / 60
            self.save(checkpoint)

    def save(self, path: Path) -> None:
        state = {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "epochs_done": self.epochs_done,
            "steps_done": self.steps_done,
            "minutes": self.minutes,
        }
        body = io.BytesIO()
        torch.save(state, body)
        write_durably(path, body.getvalue())

    def resume(self, path: Path) -> None:
        """Goes on from a checkpoint of the same data and settings."""
        state = torch.load(path, map_location=self.device.name, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.epochs_done = state["epochs_done"]
        self.steps_done = state["steps_done"]
        self.minutes = state["minutes"]

    def start_from(self, path: Path) -> None:
        """Takes another training's network, but for its head: its identities are not these. Each
        row of the head becomes the direction of its identity's features (Qi et al., "Low-shot
        learning with imprinted weights", CVPR 2018), or its chance weights would first spoil what
        was learnt."""
        state = torch.load(path, map_location=self.device.name, weights_only=True)
        head = self.objective.head
        own = head.state_dict(prefix=f"{self.objective.head_name}.")
        self.network.load_state_dict(state["network"] | own)
        few = np.concatenate(
            [rows[:IMPRINTED_CROPS] for rows in _rows_by_person(self.data.people.numpy())]
        )
        sample = self.data.rows(torch.from_numpy(few))
        features = self.objective.classified(features_of(self, sample))
        means = torch.zeros(self.data.identities, features.shape[1])
        means.index_add_(0, sample.people, features - features.mean(dim=0))
        with torch.no_grad():
            head.weight.copy_(IMPRINTED_NORM * functional.normalize(means, dim=1))
            if head.bias is not None:
                head.bias.zero_()

    def _epoch(self, report: Callable[[Progress], None]) -> None:
        settings, epoch = self.settings, self.epochs_done
        stage = settings.stage_of(epoch)
        rng = np.random.default_rng([settings.seed, epoch])
        draws = torch.Generator().manual_seed(settings.seed * 10_000 + epoch)
        # Made crops draw for themselves: real ones are cut the same with and without them.
        made_draws = torch.Generator().manual_seed(settings.seed * 10_000 + epoch + MADE_SEEDS)
        torch.manual_seed(settings.seed * 10_000 + epoch)
        batches = epoch_batches(
            self.data.people.numpy(), per_batch=settings.people, crops=settings.crops, rng=rng
        )
        self.network.train()
        started = time.monotonic()
        for n, batch in enumerate(batches):
            done = epoch + n / len(batches)
            for group in self.optimiser.param_groups:
                group["lr"] = learning_rate_at(done, settings)
            losses = self._step(torch.from_numpy(batch), stage, draws, made_draws)
            self.steps_done += 1
            report(
                Progress(
                    epoch=epoch,
                    epochs=settings.epochs,
                    step=n + 1,
                    steps=len(batches),
                    losses=losses,
                    seconds_a_step=(time.monotonic() - started) / (n + 1),
                    work_left=work_of(settings, done) / work_of(settings, epoch, epoch + 1),
                )
            )

    def _step(
        self,
        batch: torch.Tensor,
        stage: Stage,
        draws: torch.Generator,
        made_draws: torch.Generator,
    ) -> dict[str, float]:
        crops = self._augmented(self.data.pixels[batch], draws)
        made = self._made_for(len(batch), made_draws)
        if made is not None:
            crops = torch.cat([crops, self._augmented(made.pixels, made_draws)])
        labels = BatchLabels(self.data.people[batch], self.data.sources[batch])
        with self.device.autocast():
            seen = self.objective.see(shrunk(crops.to(self.device.name), stage.shrink))
        seen = {name: tensor.float() for name, tensor in seen.items()}
        real = {name: tensor[: len(batch)] for name, tensor in seen.items()}
        losses = self.objective.losses(real, labels, stage, draws)
        if made is not None:
            people, spread = (one.to(self.device.name) for one in (made.people, made.spread))
            # Each made crop weighs what a real one does in the mean over the real ones.
            weight = len(made) / len(batch)
            losses["made"] = weight * made_loss(seen["logits"][len(batch) :], people, spread)
        total = torch.stack(list(losses.values())).sum()
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(total)
        self.optimiser.step()
        correct = (real["logits"].argmax(1).cpu() == labels.people).float().mean()
        return {name: loss.item() for name, loss in losses.items()} | {"accuracy": correct.item()}

    def _augmented(self, pixels: torch.Tensor, draws: torch.Generator) -> torch.Tensor:
        crops = random_crops(pixels, draws)
        return erased(crops, self.settings.erasing, draws) if self.settings.erasing else crops

    def _made_for(self, real: int, draws: torch.Generator) -> MadeCrops | None:
        """Those that a batch of so many real crops gets."""
        count = round(self.settings.made_share * real)
        return self.made.drawn(count, draws) if self.made is not None and count else None


def _rows_by_person(people: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [np.flatnonzero(people == person) for person in range(people.max() + 1)]


def _optimiser(network: torch.nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """Normalisation and biases do not decay, as in the CVPR 2016 network."""
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if settings.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=settings.learning_rate)


@torch.no_grad()
def features_of(trainer: Trainer, data: LabelledPixels) -> torch.Tensor:
    """(N, 256) at unit length, of the centre crops."""
    embeds = UnitVectors(trainer.network, trainer.shrink).eval()
    parts = []
    for start in range(0, len(data), 64):
        crops = centre_crops(data.pixels[start : start + 64]).to(trainer.device.name)
        parts.append(embeds(crops).float().cpu())
    return torch.cat(parts)


def held_out_ranking(features: torch.Tensor, data: LabelledPixels) -> Ranking:
    """Of people not trained on: the first crop of each person and camera asks for all. Those of its
    own person and camera do not count, as Market-1501 has it; so one crop of each is enough."""
    labels = np.stack([data.people.numpy(), data.cameras.numpy()], axis=1)
    asks = np.zeros(len(labels), dtype=bool)
    asks[np.unique(labels, axis=0, return_index=True)[1]] = True
    similarity = (features[asks] @ features.T).numpy()
    query = labels[asks]
    return rank(similarity, Labels(query[:, 0], query[:, 1]), Labels(labels[:, 0], labels[:, 1]))
