"""Environment variables -> the settings that every service shares."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class FloorSettings(BaseSettings):
    """Settings of the shared floor. Each field is the environment variable of the same name.

    citybrain_home: folder for what a service keeps on disk when nothing else is said.
    bus_url: Redis for streams and windows. frames_url: Redis for frame bytes (the same if empty).
    bus_partitions: fixed at deployment; 1 embedded, 16 in production.
    database_url: SQLAlchemy URL of this service's own database (a file in citybrain_home if empty).
    instance: what `/version` says of whose process it is, to whoever has started it.
    """

    model_config = SettingsConfigDict(extra="ignore", validate_default=True)

    citybrain_home: Path = Path(".citybrain")
    models_folder: Path = Path("models")
    blobs_folder: Path | None = None
    bus_url: str = "redis://127.0.0.1:6379/0"
    frames_url: str = ""
    bus_partitions: Annotated[int, Field(ge=1, le=256)] = 1
    database_url: str = ""
    instance: str = ""
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_json: bool = True
    otel_exporter_otlp_endpoint: str = ""

    @field_validator("database_url")
    @classmethod
    def _with_async_driver(cls, url: str) -> str:
        for plain, driver in (
            ("postgres://", "postgresql+asyncpg://"),
            ("postgresql://", "postgresql+asyncpg://"),
            ("sqlite://", "sqlite+aiosqlite://"),
        ):
            if url.startswith(plain):
                return driver + url.removeprefix(plain)
        return url

    @property
    def model_folders(self) -> tuple[Path, Path]:
        """Of models that were trained here, and of those that ship."""
        return self.citybrain_home / "models", self.models_folder

    @property
    def blobs(self) -> Path:
        return self.blobs_folder or self.citybrain_home / "blobs"

    def database_of(self, service: str) -> str:
        """The URL of a service's database."""
        if self.database_url:
            return self.database_url
        return f"sqlite+aiosqlite:///{self.citybrain_home / service}.db"
