"""Every number that a training obeys beside its system's own settings."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Precision(StrEnum):
    FP32 = "fp32"
    BF16 = "bf16"


class TrainingSettings(BaseModel):
    """steps: of all phases once. batch: images of each update, in each process. average: how much
    of the moving average of the maker's weights stays at each step (less in the first hundreds), 0
    for none; 0.999 is ProGAN's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=2000, ge=1)
    batch: int = Field(default=32, ge=2)
    average: float = Field(default=0.999, ge=0, lt=1)
    precision: Precision = Precision.FP32
    seed: int = 0
