"""What is done by jobs of other services -> asked for, watched, stopped, brought to its end"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import structlog

from services.gateway.store.adaptation_tables import AdaptationRow
from services.gateway.store.tables import TrainingRow
from shared.clock import now_us
from shared.errors import Conflict, Invalid, Missing, Overloaded, Unavailable
from shared.jobs import JobState
from shared.patience import OUTAGES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from shared.database import Database
    from shared.health import Vital
    from shared.jobs_api import Job
    from shared.leases import Lease

log = structlog.get_logger(__name__)

Row = TypeVar("Row", TrainingRow, AdaptationRow)


class Jobs(Protocol):
    """Where they are done. All methods raise Unavailable where it is away."""

    async def create(self, kind: str, params: dict[str, Any], key: str) -> Job:
        """Raises Invalid for parameters that it does not take, Missing for a kind that it does not
        know, Conflict for the key of another job."""
        ...

    async def get(self, job_id: str) -> Job:
        """Raises Missing."""
        ...

    async def cancel(self, job_id: str) -> Job:
        """Raises Missing."""
        ...


class Conductor(ABC, Generic[Row]):
    """Leads each row to its end. Runs under a lease, one for all gateways; whatever it does may be
    done twice.

    seen_by: the columns that tell what became of a row since it was read.
    """

    seen_by: tuple[str, ...] = ("state",)

    def __init__(self, database: Database, vital: Vital) -> None:
        self._database = database
        self._vital = vital

    async def run(self, _: Lease, *, every_s: float = 1.0) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.tick()
                self._vital.well()
            except OUTAGES as error:
                self._vital.ailing(str(error))
            await asyncio.sleep(every_s)

    async def tick(self) -> None:
        """One look at all that is under way."""
        async with self._database.reading() as session:
            rows = await self._under_way(session)
        for row in rows:
            try:
                await self._lead(row)
            except (Unavailable, Overloaded) as error:
                # Where the jobs' service is away, everything else goes on all the same.
                await self._change(row, note=f"waits: {error}"[:256])

    @abstractmethod
    async def _under_way(self, session: AsyncSession) -> Sequence[Row]:
        """The oldest first."""

    @abstractmethod
    async def _lead(self, row: Row) -> None:
        """One step. Raises Unavailable where it has to wait."""

    @abstractmethod
    async def _hear(self, row: Row, job: Job) -> None:
        """Its job is under way."""

    @abstractmethod
    async def _conclude(self, row: Row, job: Job) -> None:
        """Its job is over."""

    @abstractmethod
    async def _clear(self, row: Row) -> None:
        """Deletes what was kept for it alone; again, after a crash. Raises Unavailable."""

    async def _ask(
        self, jobs: Jobs, row: Row, kind: str, params: dict[str, Any], key: str
    ) -> Job | None:
        """The job of this key, whoever has asked for it first; None where it is refused, which is
        the row's end."""
        try:
            return await jobs.create(kind, params, key)
        except (Invalid, Missing, Conflict) as error:
            await self._fail(row, str(error))
            return None

    async def _watch(self, jobs: Jobs, row: Row) -> None:
        job_id = str(row.job_id)
        try:
            job = await jobs.get(job_id)
            if row.stop_reason is not None and not job.state.is_final:
                job = await jobs.cancel(job_id)
        except Missing:
            await self._fail(row, f"its job {job_id} is gone")
            return
        if job.state.is_final:
            await self._conclude(row, job)
        else:
            await self._hear(row, job)

    async def _fail(self, row: Row, error: str) -> None:
        await self._end(row, JobState.FAILED, error=error)

    async def _end(self, row: Row, state: JobState, **columns: Any) -> None:
        await self._clear(row)
        columns |= {"state": state.value, "finished_us": now_us(), "note": ""}
        await self._change(row, **columns)
        log.info("ended", table=row.__tablename__, id=row.id, state=state)

    async def _change(self, row: Row, **columns: Any) -> None:
        """Of what is still as it was seen."""
        async with self._database.writing() as session:
            current = await session.get(type(row), row.id, with_for_update=True)
            if current is not None and self._seen(current) == self._seen(row):
                for name, value in columns.items():
                    setattr(current, name, value)

    def _seen(self, row: Row) -> tuple[Any, ...]:
        return tuple(getattr(row, name) for name in self.seen_by)
