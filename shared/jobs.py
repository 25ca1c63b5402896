"""Long work: a row with a fenced lease, done in a process that reports and can be stopped.

The row is the job; jobs.v1.SERVICE only wakes a worker. A job whose process dies is claimed by
another worker when its lease runs out, and its handler resumes from what it finds on disk. It is
given up when too many have died of it (JobWorker).
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import structlog
from redis.exceptions import RedisError
from sqlalchemy import JSON, String, Text, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column
from ulid import ULID

from shared import topics
from shared.clock import now_us
from shared.errors import Conflict, Missing
from shared.messages import JobWaiting
from shared.paging import newest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydantic import BaseModel
    from sqlalchemy.ext.asyncio import AsyncSession

    from shared.bus import Bus
    from shared.database import Database

log = structlog.get_logger(__name__)


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class JobColumns:
    """Columns of a `jobs` table. lease_epoch: every write of a running job checks it. attempts:
    processes that it has had, but for those that were told to stop and left it to the next."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(26), primary_key=True)
    kind: Mapped[str] = mapped_column(String(64), index=True)
    params: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(16), index=True)
    progress: Mapped[float] = mapped_column(default=0.0)
    note: Mapped[str] = mapped_column(String(256), default="")
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    error: Mapped[str | None] = mapped_column(Text)
    idempotency_key: Mapped[str | None] = mapped_column(String(128), unique=True)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    attempts: Mapped[int] = mapped_column(default=0)
    lease_epoch: Mapped[int] = mapped_column(default=0)
    lease_expires_us: Mapped[int | None]
    created_us: Mapped[int]
    started_us: Mapped[int | None]
    finished_us: Mapped[int | None]


class JobCancelled(Exception):
    """Raised inside a handler by `checkpoint()` when the job is to stop."""


@dataclass
class JobContext:
    """What a handler sees of its job. All of it may be called from the handler's thread.

    folder: of this job alone; what lies there survives the process, so a handler can resume.
    """

    job_id: str
    folder: Path
    stop: threading.Event = field(default_factory=threading.Event)
    progress: float = 0.0
    note: str = ""

    def report(self, done: float, total: float, note: str = "") -> None:
        self.progress = min(max(done / total, 0.0), 1.0) if total else 0.0
        self.note = note[:256]

    def checkpoint(self) -> None:
        """Call between steps. Raises JobCancelled when the job is to stop."""
        if self.stop.is_set():
            raise JobCancelled


@dataclass(frozen=True)
class JobKind:
    """A kind of job: what it takes, and the function that does it in a thread of its own process,
    returning a JSON object."""

    params: type[BaseModel]
    run: Callable[[Any, JobContext], dict[str, Any]]
    summary: str


class JobQueue:
    """The jobs of one service, as its API sees them."""

    def __init__(
        self, service: str, database: Database, table: Any, bus: Bus, kinds: dict[str, JobKind]
    ) -> None:
        self.service = service
        self.kinds = kinds
        self._database = database
        self._table = table
        self._bus = bus

    async def create(
        self, kind: str, params: dict[str, Any], idempotency_key: str | None = None
    ) -> Any:
        """The row of a new job; the same key with the same content gives the same job.

        Raises Missing for an unknown kind, Conflict for a key used with other content,
        pydantic.ValidationError for wrong parameters.
        """
        if kind not in self.kinds:
            known = ", ".join(sorted(self.kinds))
            raise Missing(f"no job kind {kind!r}; there are: {known}", code="unknown_job_kind")
        checked = self.kinds[kind].params.model_validate(params).model_dump(mode="json")
        row = self._new_row(kind, checked, idempotency_key)
        try:
            async with self._database.writing() as session:
                if twin := await self._twin(session, kind, checked, idempotency_key):
                    return twin
                session.add(row)
        except IntegrityError:
            # On PostgreSQL a twin may be born between the look and the insertion.
            async with self._database.reading() as session:
                if twin := await self._twin(session, kind, checked, idempotency_key):
                    return twin
            raise
        try:
            await self._bus.publish(topics.jobs(self.service), JobWaiting(job_id=row.id))
        except RedisError:
            log.warning("job_wakes_nobody", job_id=row.id)  # the worker's own round finds it
        return row

    def _new_row(self, kind: str, params: dict[str, Any], idempotency_key: str | None) -> Any:
        return self._table(
            id=str(ULID()),
            kind=kind,
            params=params,
            state=JobState.QUEUED,
            progress=0.0,
            note="",
            result=None,
            error=None,
            idempotency_key=idempotency_key,
            cancel_requested=False,
            attempts=0,
            lease_epoch=0,
            lease_expires_us=None,
            created_us=now_us(),
            started_us=None,
            finished_us=None,
        )

    async def _twin(
        self, session: AsyncSession, kind: str, params: dict[str, Any], idempotency_key: str | None
    ) -> Any:
        """The job that was made with the same key. Raises Conflict where it is another one."""
        if idempotency_key is None:
            return None
        wanted = self._table.idempotency_key == idempotency_key
        twin: Any = await session.scalar(select(self._table).where(wanted))
        if twin is not None and (twin.kind, twin.params) != (kind, params):
            raise Conflict("this Idempotency-Key was used for another job")
        return twin

    async def knows(self, idempotency_key: str) -> bool:
        """Whether a job was made with this key."""
        wanted = self._table.idempotency_key == idempotency_key
        async with self._database.reading() as session:
            return await session.scalar(select(self._table.id).where(wanted)) is not None

    async def get(self, job_id: str) -> Any:
        """Raises Missing."""
        async with self._database.reading() as session:
            row = await session.get(self._table, job_id)
        if row is None:
            raise Missing(f"no job {job_id!r}", code="unknown_job")
        return row

    async def newest(self, limit: int, before: str | None, kind: str | None = None) -> list[Any]:
        """Jobs, of all kinds or of one, the newest first, created before the job `before`."""
        table = self._table
        query = select(table) if kind is None else select(table).where(table.kind == kind)
        async with self._database.reading() as session:
            return await newest(session, query, table.id, limit, before)

    async def cancel(self, job_id: str) -> Any:
        """Asks a job to stop; one that has not begun, or whose holder is dead, is cancelled at
        once. Raises Missing."""
        async with self._database.writing() as session:
            row = await session.get(self._table, job_id, with_for_update=True)
            if row is None:
                raise Missing(f"no job {job_id!r}", code="unknown_job")
            now = now_us()
            if row.state == JobState.QUEUED or _has_lost_its_holder(row, now):
                row.state, row.finished_us = JobState.CANCELLED, now
            elif row.state == JobState.RUNNING:
                row.cancel_requested = True
            return row


def _has_lost_its_holder(row: Any, now: int) -> bool:
    return row.state == JobState.RUNNING and (row.lease_expires_us or 0) < now
