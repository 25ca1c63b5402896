"""A request to forget -> tracklets, vectors and crops that are gone, tombstones, and word of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import delete, insert, select, update

from services.reid.gallery.changes import check_live, check_unmerged
from services.reid.gallery.revisions import take_turn
from services.reid.gallery.tables import (
    ForgottenRow,
    PersonMoveRow,
    TrackletRow,
    TrackletVectorRow,
)
from shared.errors import Denied, Invalid
from shared.patience import OUTAGES

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.ext.asyncio import AsyncSession

    from services.reid.gallery.announcing import Herald
    from shared.blobs import BlobStore
    from shared.database import Database
    from shared.health import Vital

log = structlog.get_logger(__name__)

PAGE = 1_000

Check = Callable[["AsyncSession", int], Awaitable[None]]
"""Raises where nothing may be forgotten, given how many were already."""


@dataclass(frozen=True)
class Erasure:
    """What is to be forgotten: tracklets to which all that is said here applies. before_us: they
    had ended by then."""

    person_id: str | None = None
    camera_ids: Collection[str] | None = None
    before_us: int | None = None

    @property
    def conditions(self) -> list[Any]:
        found: list[Any] = []
        if self.person_id is not None:
            found.append(TrackletRow.person_id == self.person_id)
        if self.camera_ids is not None:
            found.append(TrackletRow.camera_id.in_(self.camera_ids))
        if self.before_us is not None:
            found.append(TrackletRow.end_us < self.before_us)
        return found


class Forgetting:
    """Any process may forget: indexes follow, and none can hold what the tables do not."""

    def __init__(self, database: Database, blobs: BlobStore, herald: Herald) -> None:
        self._database = database
        self._blobs = blobs
        self._herald = herald

    async def forget(self, what: Erasure) -> int:
        """Tracklets that are forgotten when it returns. Their crops follow (`sweep`).

        Raises Invalid (`forgets_everything`) for a request without any condition.
        """
        if not what.conditions:
            raise Invalid("say whom, where or until when", code="forgets_everything")
        return await self._forget(what, _anything)

    async def forget_person(self, person_id: str, cameras: Collection[str] | None) -> int:
        """Tracklets of a person that are forgotten when it returns.

        Raises Missing or Conflict for one who is unknown or merged away, also while it is at work,
        and Denied where another camera than these has seen them: who was forgotten in part would
        still be known.
        """

        async def check(session: AsyncSession, forgotten: int) -> None:
            if forgotten:
                await check_unmerged(session, person_id)
            else:
                await check_live(session, person_id, cameras)
                await _check_not_elsewhere(session, person_id, cameras)

        return await self._forget(Erasure(person_id), check)

    async def sweep(self) -> None:
        """Deletes the crops of what was forgotten, also where a process died in between."""
        while True:
            query = select(ForgottenRow).where(ForgottenRow.crop.is_not(None)).limit(PAGE)
            async with self._database.reading() as session:
                rows = [(row.revision, row.crop) for row in await session.scalars(query)]
            for _, crop in rows:
                await self._blobs.delete(crop or "")
            async with self._database.writing() as session:
                swept = ForgottenRow.revision.in_([revision for revision, _ in rows])
                await session.execute(update(ForgottenRow).where(swept).values(crop=None))
            if len(rows) < PAGE:
                return

    async def watch(self, vital: Vital, *, every_s: float = 5.0) -> None:
        """Until cancelled: sweeps."""
        while True:
            try:
                await self.sweep()
                vital.well()
            except OUTAGES as error:
                vital.ailing(str(error))
            await asyncio.sleep(every_s)

    async def _forget(self, what: Erasure, check: Check) -> int:
        """A page at a time: others have their turns in between, so that each is checked again."""
        forgotten = 0
        while True:
            async with self._database.writing() as session:
                revision = await take_turn(self._database, session)
                await check(session, forgotten)
                count = await self._forget_page(session, what, revision)
            forgotten += count
            if count < PAGE:
                log.info("forgotten", tracklets=forgotten)
                return forgotten

    async def _forget_page(self, session: AsyncSession, what: Erasure, revision: int) -> int:
        row = TrackletRow
        query = select(row.id, row.crop, row.camera_id, row.name).where(*what.conditions)
        rows = (await session.execute(query.limit(PAGE))).all()
        if not rows:
            return 0
        ids = [row.id for row in rows]
        tombstones = [
            {"tracklet_id": row.id, "revision": revision + n, "crop": row.crop}
            for n, row in enumerate(rows, start=1)
        ]
        await session.execute(insert(ForgottenRow), tombstones)
        for table in (TrackletVectorRow, PersonMoveRow):
            await session.execute(delete(table).where(table.tracklet_id.in_(ids)))
        await session.execute(delete(TrackletRow).where(TrackletRow.id.in_(ids)))
        gone = [(row.camera_id, row.name) for row in rows]
        self._herald.tell_forgotten(session, gone, revision + len(rows))
        return len(rows)


async def _anything(_: AsyncSession, __: int) -> None:
    """Whatever the conditions say may be forgotten."""


async def _check_not_elsewhere(
    session: AsyncSession, person_id: str, cameras: Collection[str] | None
) -> None:
    """Raises Denied (`camera_denied`) where another camera than these has seen a person."""
    if cameras is None:
        return
    elsewhere = select(TrackletRow.id).where(
        TrackletRow.person_id == person_id, TrackletRow.camera_id.not_in(cameras)
    )
    if await session.scalar(elsewhere.limit(1)) is not None:
        raise Denied("cameras have seen them that this key is not for", code="camera_denied")
