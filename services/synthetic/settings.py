"""Environment variables -> the synthetic service's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from shared.settings import FloorSettings


class SyntheticSettings(FloorSettings):
    """Each field is the environment variable of the same name in capitals.

    dataset_max_bytes: of an uploaded archive; dataset_max_unpacked_bytes, dataset_max_pictures: of
    what it holds. training_threads: of a job that trains. training_waits_at: clips
    without a score that make jobs stand still.
    """

    port: int = 8003
    dataset_max_bytes: Annotated[int, Field(ge=1)] = 256 * 1024 * 1024
    dataset_max_unpacked_bytes: Annotated[int, Field(ge=1)] = 1024 * 1024 * 1024
    dataset_max_pictures: Annotated[int, Field(ge=2)] = 100_000
    training_threads: Annotated[int, Field(ge=1)] = 1
    training_waits_at: Annotated[int, Field(ge=1)] = 16

    @property
    def jobs_folder(self) -> Path:
        """Where jobs keep what they make, a folder each."""
        return self.citybrain_home / "synthetic" / "jobs"

    @property
    def datasets_folder(self) -> Path:
        """Where data sets stand, a folder each."""
        return self.citybrain_home / "synthetic" / "datasets"
