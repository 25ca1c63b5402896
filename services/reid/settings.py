"""Environment variables -> the re-ID service's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from shared.inference import Precision, Provider
from shared.settings import FloorSettings


class ReidSettings(FloorSettings):
    """Each field is the environment variable of the same name in capitals.

    reid_model: embeds the people of cameras that no activation names. reid_roles: what this process
    does beside answering REST: `embed` (as many processes as you like), `gallery` (one writes, the
    others stand by), `train` (does jobs, which needs PyTorch). reid_detector: background, or yolox
    with detector_model, its ONNX file. detect_every: people are looked for in every so manieth
    owned frame of a clip.
    min_belief: that somebody is a known person rather than nobody known, from which they are taken
    for them. min_quality: of a crop, below which it says nothing about who it is.
    qdrant_url: of a Qdrant cluster that holds the gallery; empty: it lies in this process's memory.
    qdrant_shards, qdrant_replicas: of the collections that are made there.
    training_threads: of a job that trains. training_waits_at: clips that nobody has looked for
    people in yet, from which such a job stands still.
    """

    port: int = 8002
    reid_model: str = "msp-cnn"
    reid_roles: frozenset[str] = frozenset({"embed", "gallery"})
    reid_detector: str = "background"
    detector_model: Path | None = None
    detect_every: Annotated[int, Field(ge=1)] = 4
    min_belief: Annotated[float, Field(ge=0, le=1)] = 0.5
    min_quality: Annotated[float, Field(ge=0, le=1)] = 0.15
    qdrant_url: str = ""
    qdrant_api_key: str = ""
    qdrant_shards: Annotated[int, Field(ge=1)] = 1
    qdrant_replicas: Annotated[int, Field(ge=1)] = 1
    inference_provider: Provider = Provider.AUTO
    inference_precision: Precision = Precision.FP32
    inference_lanes: Annotated[int, Field(ge=1)] = 2
    inference_threads: Annotated[int, Field(ge=1)] = 1
    max_queue: Annotated[int, Field(ge=1)] = 64
    frame_max_bytes: Annotated[int, Field(ge=1)] = 8 * 1024 * 1024
    training_threads: Annotated[int, Field(ge=1)] = 1
    training_waits_at: Annotated[int, Field(ge=1)] = 16

    @property
    def jobs_folder(self) -> Path:
        """Where jobs keep what they need to go on, a folder each."""
        return self.citybrain_home / "reid" / "jobs"

    @property
    def datasets_folder(self) -> Path:
        """Where data sets stand, a folder each: the synthetic service puts them there."""
        return self.citybrain_home / "synthetic" / "datasets"
