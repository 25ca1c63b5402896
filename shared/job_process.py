"""A claimed job -> its handler at work in a thread, its lease beaten, its end written."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog

from shared.clock import SECOND_US, now_us
from shared.database import Database
from shared.errors import LeaseLost, Missing, Unavailable
from shared.jobs import JobCancelled, JobContext, JobKind, JobState

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncSession

log = structlog.get_logger(__name__)

LEASE_S = 10.0
BEAT_S = 0.5


class JobProcess:
    """One job in a process of its own. folder: below it every job has one, named by its id."""

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
        context = JobContext(job_id, self._folder / job_id)
        row = await self._beat(job_id, epoch, context)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, context.stop.set)
        handler = asyncio.create_task(asyncio.to_thread(self._do, row.kind, row.params, context))
        try:
            while not handler.done():
                await asyncio.wait([handler], timeout=BEAT_S)
                # Others cannot claim the job either while the database is away.
                with suppress(Unavailable):
                    await self._beat(job_id, epoch, context)
        finally:
            context.stop.set()
        await self._finish(handler, job_id, epoch)

    def _do(self, name: str, params: dict[str, Any], context: JobContext) -> dict[str, Any]:
        """In a thread. Whatever it raises is the failure of the job."""
        if name not in self._kinds:
            raise Missing(f"there is no job kind {name!r} any more", code="unknown_job_kind")
        kind = self._kinds[name]
        context.folder.mkdir(parents=True, exist_ok=True)
        try:
            result = kind.run(kind.params.model_validate(params), context)
        except StopIteration as error:
            # A future cannot carry it: the job would run for ever.
            raise RuntimeError("the job ran out of something to iterate over") from error
        json.dumps(result, allow_nan=False)
        return result

    async def _beat(self, job_id: str, epoch: int, context: JobContext) -> Any:
        async with self._database.writing() as session:
            row = await self._ours(session, job_id, epoch)
            row.progress, row.note = context.progress, context.note
            row.lease_expires_us = now_us() + int(LEASE_S * SECOND_US)
            if row.cancel_requested:
                context.stop.set()
            return row

    async def _finish(self, handler: asyncio.Task[dict[str, Any]], job_id: str, epoch: int) -> None:
        """Patiently: hours of work must not be lost to a database that is away for a moment."""
        while True:
            try:
                async with self._database.writing() as session:
                    _end(await self._ours(session, job_id, epoch), handler)
            except Unavailable as error:
                log.warning("job_end_waits", job_id=job_id, error=str(error))
                await asyncio.sleep(BEAT_S)
            else:
                return

    async def _ours(self, session: AsyncSession, job_id: str, epoch: int) -> Any:
        row: Any = await session.get(self._table, job_id, with_for_update=True)
        if row is None:
            raise Missing(f"no job {job_id!r}", code="unknown_job")
        if row.lease_epoch != epoch or row.state != JobState.RUNNING:
            raise LeaseLost(f"job {job_id} has been taken over")
        return row


async def do_job(
    url: str, table: Any, kinds: dict[str, JobKind], folder: Path, job_id: str, epoch: int
) -> None:
    """Does one job of a service's database, in the process that was started for it."""
    database = Database(url)
    try:
        await JobProcess(database, table, kinds, folder).run(job_id, epoch)
    finally:
        await database.close()


def _end(row: Any, handler: asyncio.Task[dict[str, Any]]) -> None:
    error = handler.exception()
    row.lease_expires_us = None
    if isinstance(error, JobCancelled) and not row.cancel_requested:
        # The process was told to stop, not the job: the next worker goes on with it.
        row.state, row.attempts = JobState.QUEUED, row.attempts - 1
        return
    row.finished_us = now_us()
    if error is None:
        row.state, row.progress, row.result = JobState.SUCCEEDED, 1.0, handler.result()
    elif isinstance(error, JobCancelled):
        row.state = JobState.CANCELLED
    else:
        row.state, row.error = JobState.FAILED, f"{type(error).__name__}: {error}"
        log.error("job_failed", job_id=row.id, exc_info=error)
