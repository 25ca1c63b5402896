"""Environment variables -> the anomaly service's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.anomaly.core.tampering import TamperingSettings
from shared.inference import Precision, Provider
from shared.settings import FloorSettings


class AnomalySettings(FloorSettings):
    """Each field is the environment variable of the same name in capitals.

    anomaly_model: scores cameras that no activation names. anomaly_roles: what this process does
    beside answering REST: `score`, and `train`, which needs a database and PyTorch.
    inference_lanes: forward passes side by side; inference_threads: of each. batch_size,
    batch_wait_s: on a GPU 32 and 0.005; on a CPU batches gain nothing, so nothing waits.
    clips_ahead: fetched and decoded while the lanes are full, so that none waits for Redis.
    training_threads: of a job that fine-tunes. training_waits_at: clips that have no outcome yet
    from which such a job stands still. tampering: from where on a camera's view shows a sign of
    tampering; TAMPERING__MOVED_BELOW sets its moved_below, and so on.
    """

    model_config = SettingsConfigDict(env_nested_delimiter="__")

    port: int = 8001
    anomaly_model: str = "stae-city"
    anomaly_roles: frozenset[str] = frozenset({"score"})
    inference_provider: Provider = Provider.AUTO
    inference_precision: Precision = Precision.FP32
    inference_lanes: Annotated[int, Field(ge=1)] = 2
    inference_threads: Annotated[int, Field(ge=1)] = 1
    batch_size: Annotated[int, Field(ge=1)] = 1
    batch_wait_s: Annotated[float, Field(ge=0)] = 0.0
    clips_ahead: Annotated[int, Field(ge=0)] = 1
    max_queue: Annotated[int, Field(ge=1)] = 32
    frame_max_bytes: Annotated[int, Field(ge=1)] = 8 * 1024 * 1024
    training_threads: Annotated[int, Field(ge=1)] = 1
    training_waits_at: Annotated[int, Field(ge=1)] = 16
    tampering: TamperingSettings = TamperingSettings()

    @property
    def jobs_folder(self) -> Path:
        """Where jobs keep what they need to go on, a folder each."""
        return self.citybrain_home / "anomaly" / "jobs"
