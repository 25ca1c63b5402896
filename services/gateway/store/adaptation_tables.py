"""The table of adaptations."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from services.gateway.store.tables import Base, Ulid


class AdaptationRow(Base):
    """That the re-ID model is to change: a chain of jobs, one stage after the other.

    state: shared.jobs.JobState. asked: by a user, or by a rollback. stage:
    services.gateway.core.adaptation; under way, or the last that was. job_id: of that stage's job,
    once it has one. done: results of the stages that are over. progress: of them all. note: of the
    job, as last heard. stop_reason: why it is to end, where somebody wants that.
    """

    __tablename__ = "adaptations"

    id: Mapped[str] = mapped_column(Ulid, primary_key=True)
    state: Mapped[str] = mapped_column(String(16), index=True)
    actor: Mapped[str] = mapped_column(String(32))
    asked: Mapped[dict[str, Any]] = mapped_column(JSON)
    stage: Mapped[str] = mapped_column(String(16))
    job_id: Mapped[str | None] = mapped_column(Ulid)
    done: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    created_us: Mapped[int]
    progress: Mapped[float] = mapped_column(default=0.0)
    note: Mapped[str] = mapped_column(String(256), default="")
    stop_reason: Mapped[str | None] = mapped_column(String(256))
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    error: Mapped[str | None] = mapped_column(Text)
    finished_us: Mapped[int | None]
