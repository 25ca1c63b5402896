"""Environment variables -> the gateway's settings."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict

from services.gateway.core.alarm import AlarmRule
from services.gateway.core.tampering import TamperingRule
from shared.images import ImageLimits
from shared.settings import FloorSettings

Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]


class GatewaySettings(FloorSettings):
    """Each field is the environment variable of the same name in capitals.

    What a clip is:
    clip_length: frames of a window (the models' T). clip_stride: new frames from one window to the
    next, 1 to clip_length: small is quick and dear. clip_max_gap: intervals that a window may span.

    Which frames are taken (all in seconds):
    frame_lateness_s: behind the camera's newest frame. frame_future_s: ahead of the server's clock.
    frame_stale_s: behind the server's clock, unless the camera is in archive mode.
    clock_jump_s, clock_jump_frames: so many frames in a row, so far back, open a new epoch.

    What is too much, per partition:
    soft_backlog: clips waiting from which windows overlap less. hard_backlog: from which frames are
    refused. max_backlog_age_s: the oldest clip's age from which frames are refused.
    frame_ttl_s: how long a frame's bytes are kept at most; at least twice max_backlog_age_s.
    shed_backlog: clips a sheddable group may leave waiting. max_bytes_in_flight: of frames.

    alarm: when scores raise an alert; ALARM__OPEN_SCORE sets its open_score, and so on.
    tampering_alarm: when signs of tampering do, likewise: TAMPERING_ALARM__MIN_DURATION_S.
    alert_budget_per_day: alerts a day that a calibration allows a camera that has no budget itself.

    The rest: offline_after_s: silence after which a live camera is offline. session_s: how long the
    page's sessions last; session_secure: their cookie travels by HTTPS only (set it behind TLS).
    training_footage_bytes: recorded of one camera at most, to train on. training_url: an anomaly
    service that trains; reid_training_url: a re-ID service that does; studio_url: a
    synthetic service that does.
    """

    model_config = SettingsConfigDict(env_nested_delimiter="__")

    clip_length: Positive = 16
    clip_stride: Positive = 16
    clip_max_gap: Positive = 3

    frame_lateness_s: Seconds = 2.0
    frame_future_s: Seconds = 5.0
    frame_stale_s: Seconds = 3600.0
    clock_jump_s: Seconds = 5.0
    clock_jump_frames: Positive = 5
    retry_memory: Positive = 512

    soft_backlog: Positive = 32
    hard_backlog: Positive = 128
    shed_backlog: Positive = 64
    max_backlog_age_s: Seconds = 120.0
    frame_ttl_s: Seconds = 300.0
    max_bytes_in_flight: Positive = 512 * 1024 * 1024

    frame_max_bytes: Positive = 8 * 1024 * 1024
    frame_max_pixels: Positive = 4096 * 2304
    batch_max_frames: Positive = 64
    body_max_bytes: Positive = 64 * 1024 * 1024

    alarm: AlarmRule = AlarmRule()
    tampering_alarm: TamperingRule = TamperingRule()
    alert_budget_per_day: Annotated[float, Field(gt=0, le=100)] = 1.0

    offline_after_s: Seconds = 20.0
    session_s: Seconds = 12 * 3600.0
    session_secure: bool = False
    training_footage_bytes: Positive = 512 * 1024 * 1024
    reid_url: str = "http://127.0.0.1:8002"
    training_url: str = "http://127.0.0.1:8001"
    reid_training_url: str = "http://127.0.0.1:8002"
    studio_url: str = "http://127.0.0.1:8003"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.clip_stride > self.clip_length:
            raise ValueError("CLIP_STRIDE must not exceed CLIP_LENGTH: frames would be skipped")
        if self.frame_ttl_s < 2 * self.max_backlog_age_s:
            raise ValueError("FRAME_TTL_S must be at least twice MAX_BACKLOG_AGE_S")
        if self.soft_backlog >= self.hard_backlog:
            raise ValueError("SOFT_BACKLOG must be below HARD_BACKLOG")
        return self

    @property
    def image_limits(self) -> ImageLimits:
        return ImageLimits(max_bytes=self.frame_max_bytes, max_pixels=self.frame_max_pixels)
