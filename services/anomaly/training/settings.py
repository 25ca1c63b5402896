"""What a training run may be told. Every choice that the paper leaves open is here, by name."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.anomaly.core.sight import Sight
from services.anomaly.models.stae import LEAKY_SLOPE, SHRINKAGE
from services.anomaly.models.stae_loss import PredictionWeights
from services.anomaly.training.augmentation import Augmentation
from services.anomaly.training.pseudo import PseudoAnomalies


class Precision(StrEnum):
    """`auto`: bf16 where the processor or the GPU computes in it, else fp32."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"


class Stage(BaseModel):
    """Some steps on windows of one size, in pixels of the network's input."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(gt=0)
    window: int = Field(multiple_of=SHRINKAGE)
    batch: int = Field(gt=0)


class TrainingSettings(BaseModel):
    """stages: in their order. A window of half the side costs a quarter, so most steps are taken
    on windows; whole frames come last, for the borders and for the statistics of the batch norm.

    sight: what the network sees of the footage. frames, side: T and H = W of the network's input
    (16 and 128: the re-implementations').

    learning_rate: Adam's, reached after the warm-up and let fall along a half cosine to nothing
    at the last step; weight_decay: L2, which alone took Ped2 from 81.3 to 86.5 AUC in a public
    study. pseudo_anomalies: STAE has none. Of all these the paper states none but the shape of the
    prediction loss.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sight: Sight = Sight()
    frames: int = Field(default=16, multiple_of=SHRINKAGE)
    side: int = Field(default=128, multiple_of=SHRINKAGE)
    stages: tuple[Stage, ...] = (
        Stage(steps=4800, window=64, batch=2),
        Stage(steps=600, window=128, batch=2),
    )
    learning_rate: float = Field(default=1e-3, gt=0)
    warm_up: float = Field(default=0.02, ge=0, lt=1)
    weight_decay: float = Field(default=1e-4, ge=0)
    leaky_slope: float = LEAKY_SLOPE
    prediction_weights: PredictionWeights = PredictionWeights.DECREASING
    prediction_lambda: float = 1.0
    augmentation: Augmentation = Augmentation()
    pseudo_anomalies: PseudoAnomalies = PseudoAnomalies()
    precision: Precision = Precision.AUTO
    seed: int = 0

    @model_validator(mode="after")
    def _windows_fit(self) -> Self:
        if any(stage.window > self.side for stage in self.stages):
            raise ValueError(f"a window may not be larger than the side, {self.side}")
        return self

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)

    def learning_rate_at(self, step: int) -> float:
        """step: from 0."""
        warm_up_steps = self.warm_up * self.steps
        if step < warm_up_steps:
            return self.learning_rate * (step + 1) / (warm_up_steps + 1)
        progress = (step - warm_up_steps) / (self.steps - warm_up_steps)
        return self.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))

    def uses_bf16(self, device: torch.device) -> bool:
        """Emulated bf16 is many times slower than fp32, so `auto` asks the hardware."""
        if self.precision is not Precision.AUTO:
            return self.precision is Precision.BF16
        if device.type == "cuda":
            return bool(torch.cuda.is_bf16_supported())
        return bool(torch.cpu._is_avx512_bf16_supported())
