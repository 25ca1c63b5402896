"""Environment variables -> the synthetic service's settings."""

from __future__ import annotations

from pathlib import Path

from shared.settings import FloorSettings


class SyntheticSettings(FloorSettings):
    """Each field is the environment variable of the same name in capitals."""

    port: int = 8003

    @property
    def jobs_folder(self) -> Path:
        """Where jobs keep what they make, a folder each."""
        return self.citybrain_home / "synthetic" / "jobs"
