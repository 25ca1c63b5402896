"""A batch's crops and labels -> the losses of one network: a class for each that can be trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import torch
from torch.nn import functional

from services.reid.models import msp_loss
from services.reid.models.msp_cnn import MspCnn
from services.reid.models.osnet import OsNet
from services.reid.models.osnet_loss import batch_hard_loss
from services.reid.training.sampling import draw_pairs
from services.reid.training.settings import Network

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.reid.training.settings import Stage, TrainingSettings


@dataclass(frozen=True, eq=False)
class BatchLabels:
    """Who is on each crop of a batch, and which data set it came from: (B,) each, on the CPU."""

    people: torch.Tensor
    sources: torch.Tensor


Seen = dict[str, torch.Tensor]
"""What a network made of a batch, by name. `logits` (B, identities) is always there."""


class Objective(Protocol):
    """One network with what it learns by. `head` is for training alone; the others tell a model's
    card what it is."""

    title: ClassVar[str]
    paper: ClassVar[str]
    head_name: ClassVar[str]

    @property
    def network(self) -> torch.nn.Module: ...

    @property
    def head(self) -> torch.nn.Linear: ...

    def classified(self, features: torch.Tensor) -> torch.Tensor:
        """What the head sees of the network's features."""
        ...

    def see(self, crops: torch.Tensor) -> Seen: ...

    def losses(
        self, seen: Seen, labels: BatchLabels, stage: Stage, draws: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """The weighted terms of the loss, by name."""
        ...


class MspObjective:
    """MSP-CNN: softmax of anchors, and the similarity of pairs at two levels."""

    title: ClassVar[str] = "MSP-CNN"
    paper: ClassVar[str] = (
        "Shen et al., Multi-level Similarity Perception for Person Re-identification, ACM MM 2017;"
        " backbone: Xiao et al., CVPR 2016, at half its width"
    )
    head_name: ClassVar[str] = "fc8"

    def __init__(self, identities: int, settings: TrainingSettings) -> None:
        self.network = MspCnn(identities=identities, dropout=settings.dropout)
        self._settings = settings

    @property
    def head(self) -> torch.nn.Linear:
        return self.network.fc8

    def classified(self, features: torch.Tensor) -> torch.Tensor:
        return functional.relu(features)

    def see(self, crops: torch.Tensor) -> Seen:
        pool1 = self.network.low_level(crops)
        feature = self.network.high_level(pool1)
        return {"pool1": pool1, "feature": feature, "logits": self.network.classify(feature)}

    def losses(
        self, seen: Seen, labels: BatchLabels, stage: Stage, draws: torch.Generator
    ) -> dict[str, torch.Tensor]:
        settings, pool1, feature = self._settings.loss, seen["pool1"], seen["feature"]
        unit = functional.normalize(feature.detach(), dim=1).cpu()
        pairs = draw_pairs(unit @ unit.T, labels.people, labels.sources, self._settings, draws)
        same = pairs.same.to(feature.device)
        people = labels.people.to(feature.device)
        losses = {
            "class": msp_loss.classification_loss(seen["logits"], people, settings.label_smoothing)
        }
        if settings.levels.high:
            losses["high"] = settings.high_weight * msp_loss.high_level_loss(
                feature[pairs.left], feature[pairs.right], same, settings.margin
            )
        if stage.low_level and settings.levels.low:
            few = self._settings.low_level_anchors * (1 + self._settings.negatives_per_anchor)
            losses["low"] = settings.low_weight * msp_loss.low_level_loss(
                pool1[pairs.left[:few]], pool1[pairs.right[:few]], same[:few], settings
            )
        return losses


class OsnetObjective:
    """The omni-scale network: softmax of identities, and triplets of the feature before its
    normalisation."""

    title: ClassVar[str] = "OSNet, dense and of shared streams"
    paper: ClassVar[str] = (
        "Zhou et al., Omni-Scale Feature Learning for Person Re-Identification, ICCV 2019; ours are"
        " dense shared streams and three stripes; Hermans et al., In Defense of the Triplet Loss,"
        " 2017"
    )
    head_name: ClassVar[str] = "classifier"

    def __init__(self, identities: int, settings: TrainingSettings) -> None:
        self.network = OsNet(identities=identities)
        self._settings = settings

    @property
    def head(self) -> torch.nn.Linear:
        return self.network.classifier

    def classified(self, features: torch.Tensor) -> torch.Tensor:
        return features

    def see(self, crops: torch.Tensor) -> Seen:
        feature = self.network.embed(crops)
        logits = self.network.classifier(self.network.neck(feature))
        return {"feature": feature, "logits": logits}

    def losses(
        self, seen: Seen, labels: BatchLabels, stage: Stage, draws: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """stage, draws: nothing here depends on them."""
        settings, feature = self._settings.osnet_loss, seen["feature"]
        people, sources = (label.to(feature.device) for label in (labels.people, labels.sources))
        return {
            "class": functional.cross_entropy(
                seen["logits"], people, label_smoothing=settings.label_smoothing
            ),
            "triplet": settings.triplet_weight
            * batch_hard_loss(feature, people, sources, settings.margin),
        }


OBJECTIVES: dict[Network, Callable[[int, TrainingSettings], Objective]] = {
    Network.MSP_CNN: MspObjective,
    Network.OSNET: OsnetObjective,
}
