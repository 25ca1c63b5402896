"""Waiting jobs -> a process for one after the other."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog
from redis.exceptions import RedisError
from sqlalchemy import or_, select, true

from shared import topics
from shared.clock import SECOND_US, now_us
from shared.errors import Unavailable
from shared.jobs import JobState

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from shared.bus import Bus
    from shared.database import Database
    from shared.health import Vital

log = structlog.get_logger(__name__)

START_S = 60.0
"""How long a job's process may take until its first beat: it imports much on a busy machine."""

STOP_S = 8.0
"""How long a job's process may take to stop before it is killed: `docker stop` waits for 10 s."""

MOST_ATTEMPTS = 5
"""So many processes may die of a job. One that has too little memory would kill its worker's
machine again and again, and never let the jobs behind it have their turn."""


class JobWorker:
    """Starts a process for one waiting job after the other.

    command: what starts it, before the job's id and epoch; `python -m services.SERVICE work` if
    nothing else is said. The process runs a JobProcess. kinds: that can be done here (None: all);
    others are left to workers of the same database who can.
    """

    def __init__(
        self,
        service: str,
        database: Database,
        table: Any,
        bus: Bus,
        vital: Vital,
        *,
        command: Sequence[str] = (),
        kinds: Collection[str] | None = None,
    ) -> None:
        self._service = service
        self._database = database
        self._table = table
        self._bus = bus
        self._vital = vital
        self._command = command or (sys.executable, "-m", f"services.{service}", "work")
        self._kinds = kinds

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
        """The oldest job that waits or whose holder is dead, and this claim's epoch. A job that
        was to stop when its holder died ends here, as does one of which too many have died."""
        while True:
            async with self._database.writing() as session:
                row = await self._oldest(session)
                if row is None:
                    return None
                if row.state != JobState.RUNNING or not _given_up(row):
                    return _begin(row)

    async def _oldest(self, session: AsyncSession) -> Any:
        table, now = self._table, now_us()
        free = or_(
            table.state == JobState.QUEUED,
            (table.state == JobState.RUNNING) & (table.lease_expires_us < now),
        )
        ours = true() if self._kinds is None else table.kind.in_(self._kinds)
        query = select(table).where(free, ours).order_by(table.id).limit(1)
        return await session.scalar(query.with_for_update(skip_locked=True))

    async def _supervise(self, job_id: str, epoch: int) -> None:
        process = await asyncio.create_subprocess_exec(*self._command, job_id, str(epoch))
        log.info("job_started", job_id=job_id, pid=process.pid)
        try:
            code = await process.wait()
            log.info("job_process_ended", job_id=job_id, code=code)
        except asyncio.CancelledError:
            await _stop(process)
            raise

    async def _wait(self) -> None:
        """Until a job is announced, or a second has passed."""
        try:
            await self._bus.waiting.xread(
                {topics.jobs(self._service).name: "$"}, count=1, block=1_000
            )
        except RedisError:
            await asyncio.sleep(1)


def _begin(row: Any) -> tuple[str, int]:
    now = now_us()
    row.state = JobState.RUNNING
    row.attempts += 1
    row.lease_epoch += 1
    row.lease_expires_us = now + int(START_S * SECOND_US)
    row.started_us = row.started_us or now
    return row.id, row.lease_epoch


def _given_up(row: Any) -> bool:
    """Ends a job whose holder is dead, where another process is not to be tried."""
    if row.cancel_requested:
        row.state = JobState.CANCELLED
    elif row.attempts >= MOST_ATTEMPTS:
        row.state = JobState.FAILED
        row.error = (
            f"its process died {row.attempts} times: most often it has too little memory (the"
            " service's log tells each `code`; -9 is the kernel's kill). Order less at once, or"
            " give the service more"
        )
        log.error("job_given_up", job_id=row.id, attempts=row.attempts)
    else:
        return False
    row.lease_expires_us, row.finished_us = None, now_us()
    return True


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Asks first. A job that does not listen is killed, and resumed when its lease has run out."""
    with suppress(ProcessLookupError):  # it has just ended by itself
        process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
