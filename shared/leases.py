"""One process at a time does it: a lease is a row with an epoch that every write checks."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import String, select, update
from sqlalchemy.orm import Mapped, mapped_column
from ulid import ULID

from shared.clock import SECOND_US, now_us
from shared.errors import LeaseLost, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncSession

    from shared.database import Database
    from shared.health import Vital

log = structlog.get_logger(__name__)


class LeaseColumns:
    """Columns of a `leases` table; each service's database has one."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    holder: Mapped[str] = mapped_column(String(128))
    epoch: Mapped[int]
    expires_us: Mapped[int]


@dataclass(frozen=True)
class Lease:
    """The right to do something alone. A higher epoch supersedes a lower one."""

    table: Any
    name: str
    epoch: int

    async def check(self, session: AsyncSession) -> None:
        """Locks the lease's row for this transaction. Raises LeaseLost where it has a newer holder:
        a writer that was paused cannot write when it wakes."""
        row = select(self.table.epoch).where(self.table.name == self.name).with_for_update()
        if await session.scalar(row) != self.epoch:
            raise LeaseLost(f"{self.name} has a newer holder")


@dataclass
class Leadership:
    """Competes for a lease, and runs `work(lease)` while it is held.

    ttl_s: how long a dead holder blocks the others. vital: a standby is well. holder: no two may
    have the same, or they take the lease from each other for ever; ids of processes repeat.
    """

    database: Database
    table: Any
    name: str
    vital: Vital
    ttl_s: float = 10.0
    holder: str = field(default_factory=lambda: f"{socket.gethostname()}-{ULID()}")

    async def run(self, work: Callable[[Lease], Awaitable[None]]) -> None:
        """Until cancelled: waits as a standby, leads, and waits again when the lease is lost."""
        while True:
            try:
                lease = await self._acquire()
            except Unavailable as error:
                self.vital.ailing(str(error))
                await asyncio.sleep(self.ttl_s / 4)
                continue
            if lease is None:
                self.vital.well()
                await asyncio.sleep(self.ttl_s / 4)
            else:
                await self._lead(lease, work)

    async def _lead(self, lease: Lease, work: Callable[[Lease], Awaitable[None]]) -> None:
        log.info("lease_acquired", lease=self.name, epoch=lease.epoch)
        tasks = [
            asyncio.create_task(self._renew(lease)),
            asyncio.ensure_future(work(lease)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                if error is not None and not isinstance(error, LeaseLost | Unavailable):
                    raise error
                log.warning("lease_ended", lease=self.name, error=str(error))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with suppress(LeaseLost, Unavailable):
                await self._release(lease)

    async def _acquire(self) -> Lease | None:
        now = now_us()
        fresh = {"name": self.name, "holder": "", "epoch": 0, "expires_us": 0}
        insert = self.database.insert(self.table).values(**fresh).on_conflict_do_nothing()
        async with self.database.writing() as session:
            await session.execute(insert)
            row = await session.get_one(self.table, self.name, with_for_update=True)
            if row.expires_us > now and row.holder != self.holder:
                return None
            row.holder = self.holder
            row.epoch += 1
            row.expires_us = now + int(self.ttl_s * SECOND_US)
            return Lease(self.table, self.name, row.epoch)

    async def _renew(self, lease: Lease) -> None:
        while True:
            await asyncio.sleep(self.ttl_s / 4)
            await self._extend(lease, now_us() + int(self.ttl_s * SECOND_US))

    async def _release(self, lease: Lease) -> None:
        await self._extend(lease, 0)

    async def _extend(self, lease: Lease, expires_us: int) -> None:
        async with self.database.writing() as session:
            await lease.check(session)
            await session.execute(
                update(self.table).where(self.table.name == self.name).values(expires_us=expires_us)
            )
