"""How far training is -> its learning rate, and the time that is left."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.reid.training.settings import Network

if TYPE_CHECKING:
    from services.reid.training.settings import TrainingSettings

LOW_LEVEL_COST = 1.2
"""Work that the low-level loss adds to a full-size step, as a share of it. For the clock only."""


@dataclass(frozen=True)
class Progress:
    """After one step. epoch counts from 0, step from 1; work_left is in epochs like this one."""

    epoch: int
    epochs: int
    step: int
    steps: int
    losses: dict[str, float]
    seconds_a_step: float
    work_left: float

    @property
    def seconds_left(self) -> float:
        return self.work_left * self.steps * self.seconds_a_step


def learning_rate_at(epochs_done: float, settings: TrainingSettings) -> float:
    """Rises linearly during the warm-up, then falls along a cosine to nearly nothing."""
    if epochs_done < settings.warm_up_epochs:
        return settings.learning_rate * (0.05 + 0.95 * epochs_done / settings.warm_up_epochs)
    span = max(settings.epochs - settings.warm_up_epochs, 1e-9)
    share = min((epochs_done - settings.warm_up_epochs) / span, 1.0)
    return settings.learning_rate * (0.001 + 0.999 * 0.5 * (1 + math.cos(math.pi * share)))


def work_of(settings: TrainingSettings, start: float, end: float | None = None) -> float:
    """Arithmetic from epoch `start` to `end` (None: the last), a full-size epoch being 1."""
    end = settings.epochs if end is None else end
    work, first = 0.0, 0
    for stage in settings.stages:
        overlap = min(end, first + stage.epochs) - max(start, first)
        compared = (
            stage.low_level and settings.loss.levels.low and settings.network is Network.MSP_CNN
        )
        cost = (1.0 + (LOW_LEVEL_COST if compared else 0.0)) / stage.shrink**2
        work += max(0.0, overlap) * cost
        first += stage.epochs
    return work
