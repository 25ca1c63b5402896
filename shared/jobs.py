"""Long work: a row with a fenced lease, done in a process that reports and can be stopped.

The row is the job; jobs.v1.SERVICE only wakes a worker. A job whose process dies is claimed by
another worker when its lease runs out, and its handler resumes from what it finds on disk.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import structlog
from redis.exceptions import RedisError
from sqlalchemy import JSON, String, Text, or_, select
from sqlalchemy.orm import Mapped, mapped_column
from ulid import ULID

from shared import topics
from shared.clock import SECOND_US, now_us
from shared.errors import Conflict, LeaseLost, Missing, Unavailable
from shared.messages import JobWaiting

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydantic import BaseModel

    from shared.bus import Bus
    from shared.database import Database
    from shared.health import Vital

log = structlog.get_logger(__name__)

LEASE_S = 10.0
BEAT_S = 0.5


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
    """Columns of a `jobs` table. lease_epoch: every write of a running job checks it."""

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
        async with self._database.writing() as session:
            if idempotency_key is not None:
                wanted = self._table.idempotency_key == idempotency_key
                if existing := await session.scalar(select(self._table).where(wanted)):
                    if (existing.kind, existing.params) != (kind, checked):
                        raise Conflict("this Idempotency-Key was used for another job")
                    return existing
            row = self._table(
                id=str(ULID()),
                kind=kind,
                params=checked,
                state=JobState.QUEUED,
                progress=0.0,
                note="",
                idempotency_key=idempotency_key,
                cancel_requested=False,
                attempts=0,
                lease_epoch=0,
                created_us=now_us(),
            )
            session.add(row)
        try:
            await self._bus.publish(topics.jobs(self.service), JobWaiting(job_id=row.id))
        except RedisError:
            log.warning("job_wakes_nobody", job_id=row.id)  # the worker's own round finds it
        return row

    async def get(self, job_id: str) -> Any:
        """Raises Missing."""
        async with self._database.reading() as session:
            row = await session.get(self._table, job_id)
        if row is None:
            raise Missing(f"no job {job_id!r}", code="unknown_job")
        return row

    async def newest(self, limit: int, before: str | None) -> list[Any]:
        """Jobs, the newest first, created before the job with id `before`."""
        query = select(self._table).order_by(self._table.id.desc()).limit(limit)
        if before is not None:
            query = query.where(self._table.id < before)
        async with self._database.reading() as session:
            return list(await session.scalars(query))

    async def cancel(self, job_id: str) -> Any:
        """Asks a job to stop; one that has not begun is cancelled at once. Raises Missing."""
        async with self._database.writing() as session:
            row = await session.get(self._table, job_id, with_for_update=True)
            if row is None:
                raise Missing(f"no job {job_id!r}", code="unknown_job")
            if row.state == JobState.QUEUED:
                row.state, row.finished_us = JobState.CANCELLED, now_us()
            elif row.state == JobState.RUNNING:
                row.cancel_requested = True
            return row


class JobWorker:
    """Starts a process for one waiting job after the other."""

    def __init__(
        self, service: str, database: Database, table: Any, bus: Bus, vital: Vital
    ) -> None:
        self._service = service
        self._database = database
        self._table = table
        self._bus = bus
        self._vital = vital

    async def run(self) -> None:
        """Until cancelled; a running job is then stopped, and resumed by the next worker."""
        while True:
            try:
                claimed = await self.claim()
                self._vital.well()
            except Unavailable as error:
                self._vital.ailing(str(error))
                claimed = None
            if claimed is None:
                await self._wait()
            else:
                await self._supervise(*claimed)

    async def claim(self) -> tuple[str, int] | None:
        """The oldest job that waits or whose holder is dead, and this claim's epoch."""
        table, now = self._table, now_us()
        free = or_(
            table.state == JobState.QUEUED,
            (table.state == JobState.RUNNING) & (table.lease_expires_us < now),
        )
        async with self._database.writing() as session:
            query = select(table).where(free).order_by(table.id).limit(1)
            row = await session.scalar(query.with_for_update(skip_locked=True))
            if row is None:
                return None
            row.state = JobState.RUNNING
            row.attempts += 1
            row.lease_epoch += 1
            row.lease_expires_us = now + int(LEASE_S * SECOND_US)
            row.started_us = row.started_us or now
            return row.id, row.lease_epoch

    async def _supervise(self, job_id: str, epoch: int) -> None:
        command = ["-m", f"services.{self._service}", "work", job_id, str(epoch)]
        process = await asyncio.create_subprocess_exec(sys.executable, *command)
        log.info("job_started", job_id=job_id, pid=process.pid)
        try:
            code = await process.wait()
            log.info("job_process_ended", job_id=job_id, code=code)
        except asyncio.CancelledError:
            process.send_signal(signal.SIGTERM)
            await process.wait()
            raise

    async def _wait(self) -> None:
        """Until a job is announced, or a second has passed."""
        try:
            await self._bus.waiting.xread(
                {topics.jobs(self._service).name: "$"}, count=1, block=1_000
            )
        except RedisError:
            await asyncio.sleep(1)


class JobProcess:
    """One job in a process of its own: runs its handler, beats its lease, writes its end."""

    def __init__(
        self, database: Database, table: Any, kinds: dict[str, JobKind], folder: Path
    ) -> None:
        self._database = database
        self._table = table
        self._kinds = kinds
        self._folder = folder

    async def run(self, job_id: str, epoch: int) -> None:
        """Does the job to its end. Raises LeaseLost where another process has taken it over."""
        os.nice(10)
        async with self._database.reading() as session:
            row = await session.get(self._table, job_id)
        if row is None:
            raise Missing(f"no job {job_id!r}")
        kind = self._kinds[row.kind]
        folder = self._folder / job_id
        folder.mkdir(parents=True, exist_ok=True)
        context = JobContext(job_id, folder)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, context.stop.set)
        params = kind.params.model_validate(row.params)
        handler = asyncio.ensure_future(asyncio.to_thread(kind.run, params, context))
        try:
            await self._beat_until(handler, job_id, epoch, context)
        finally:
            context.stop.set()
        await self._finish(handler, job_id, epoch, context)

    async def _beat_until(
        self, handler: asyncio.Future[Any], job_id: str, epoch: int, context: JobContext
    ) -> None:
        while not handler.done():
            await asyncio.wait([handler], timeout=BEAT_S)
            async with self._database.writing() as session:
                row = await self._ours(session, job_id, epoch)
                row.progress, row.note = context.progress, context.note
                row.lease_expires_us = now_us() + int(LEASE_S * SECOND_US)
                if row.cancel_requested:
                    context.stop.set()

    async def _finish(
        self, handler: asyncio.Future[Any], job_id: str, epoch: int, context: JobContext
    ) -> None:
        error = handler.exception()
        async with self._database.writing() as session:
            row = await self._ours(session, job_id, epoch)
            if isinstance(error, JobCancelled) and not row.cancel_requested:
                # The process was told to stop, not the job: the next worker goes on with it.
                row.state, row.lease_expires_us = JobState.QUEUED, None
                return
            row.finished_us, row.lease_expires_us = now_us(), None
            if error is None:
                row.state, row.progress, row.result = JobState.SUCCEEDED, 1.0, handler.result()
            elif isinstance(error, JobCancelled):
                row.state = JobState.CANCELLED
            else:
                row.state, row.error = JobState.FAILED, f"{type(error).__name__}: {error}"
                log.error("job_failed", job_id=job_id, exc_info=error)

    async def _ours(self, session: Any, job_id: str, epoch: int) -> Any:
        row = await session.get(self._table, job_id, with_for_update=True)
        if row is None or row.lease_epoch != epoch:
            raise LeaseLost(f"job {job_id} has been taken over")
        return row
