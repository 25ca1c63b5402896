"""Every number that training obeys, in one value that goes into the model's card."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from services.reid.models.msp_loss import MspLossSettings

MEAN = (0.4, 0.4, 0.4)
"""Subtracted from pixels in [0, 1]: the 102 of 255 that the CVPR 2016 network subtracts."""

STD = (0.25, 0.25, 0.25)
"""Ours; about that of street crops."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Some epochs at one size and one weighting.

    shrink: a whole number by which the network's 144x56 input is averaged down before its first
    layer. Smaller pictures cost the square less; ours, for machines without a GPU. A model is
    exported with the shrinking of its last epoch as a part of it.
    low_level: whether the low-level loss counts, where the settings' levels have it. The paper adds
    it once training is stable, for a few epochs.
    """

    epochs: int
    shrink: int = 1
    low_level: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """The defaults are ours, chosen on identities held out of training, except where a source is
    named.

    people, crops: a batch is so many people with so many crops each; every crop is an anchor once.
    negatives: per anchor; with one positive each that is the paper's 2:1. `nearest` takes the most
    alike of the batch, `random` any.
    low_level_anchors: per batch whose pairs enter the low-level loss, which costs as much as the
    network itself.
    held_out: share of each source's identities that are not trained on; they serve to choose
    settings and to fit the identity prior.
    """

    stages: tuple[Stage, ...] = (
        Stage(epochs=30, shrink=2),
        Stage(epochs=5),
        Stage(epochs=1, low_level=True),
    )
    optimiser: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 5e-4
    warm_up_epochs: float = 1.0
    people: int = 16
    crops: int = 4
    negatives: Literal["random", "nearest"] = "random"
    negatives_per_anchor: int = 2
    low_level_anchors: int = 4
    dropout: float = 0.5
    held_out: float = 0.1
    seed: int = 17
    loss: MspLossSettings = field(default_factory=MspLossSettings)

    @property
    def epochs(self) -> int:
        return sum(stage.epochs for stage in self.stages)

    def stage_of(self, epoch: int) -> Stage:
        """The stage that an epoch, counted from 0, belongs to."""
        for stage in self.stages:
            if epoch < stage.epochs:
                return stage
            epoch -= stage.epochs
        raise IndexError(f"there are {self.epochs} epochs")
