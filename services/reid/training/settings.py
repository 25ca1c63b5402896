"""Every number that training obeys, in one value that goes into the model's card."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from services.reid.models.msp_loss import MspLossSettings
from services.reid.models.osnet_loss import OsnetLossSettings


class Network(StrEnum):
    """What can be trained."""

    MSP_CNN = "msp-cnn"
    OSNET = "osnet"


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

    network: what is trained.
    people, crops: a batch is so many people with so many crops each; every crop is an anchor once.
    negatives: per anchor; with one positive each that is the paper's 2:1. `nearest` takes the most
    alike of the batch, `random` any.
    low_level_anchors: per batch whose pairs enter the low-level loss, which costs as much as the
    network itself.
    erasing: share of crops of which a random rectangle is blotted out (Zhong et al., "Random
    Erasing Data Augmentation", AAAI 2020).
    loss: of MSP-CNN. osnet_loss: of OSNet.
    made_share: crops of made data sets for each real one of a batch, where there are such; CamStyle
    has one for three.
    held_out: share of each source's identities that are not trained on; they serve to choose
    settings and to fit the identity prior.
    """

    network: Network = Network.MSP_CNN
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
    erasing: float = 0.0
    made_share: float = 1 / 3
    held_out: float = 0.1
    seed: int = 17
    loss: MspLossSettings = field(default_factory=MspLossSettings)
    osnet_loss: OsnetLossSettings = field(default_factory=OsnetLossSettings)

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


RECIPES: dict[Network, TrainingSettings] = {
    Network.MSP_CNN: TrainingSettings(),
    Network.OSNET: TrainingSettings(
        network=Network.OSNET,
        stages=(
            Stage(epochs=24, shrink=2),
            Stage(epochs=8),
            Stage(epochs=0, low_level=True),
        ),
        learning_rate=2e-3,
        weight_decay=2e-2,
        erasing=0.3,
    ),
}
"""How each network is trained unless told otherwise: in stages at half size, at full size, and at
full size with the low-level loss, which is MSP-CNN's alone."""
