"""Outcomes in any order -> folded once each, in the order of `seq`, under the camera's row lock.

An outcome is inserted first; then all that are contiguous are folded. A gap is waited for since
something came behind it, but not for ever; what comes after its turn has passed is kept and
counted, and folds nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import structlog
from prometheus_client import Counter
from sqlalchemy import LargeBinary, String, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Mapped, mapped_column

from shared.clock import SECOND_US
from shared.errors import LeaseLost
from shared.messages import ClipOutcome, Outcome
from shared.patience import OUTAGES, will_pass

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from shared.database import Database

log = structlog.get_logger(__name__)

GAP_WAIT_S = 15.0

ARRIVALS = Counter("citybrain_outcomes_total", "Outcomes by how they arrived", ["fold", "arrival"])


class Arrival(StrEnum):
    """How an outcome stood to its camera's cursor when it came."""

    IN_TURN = "in_turn"
    EARLY = "early"
    LATE = "late"
    REPEATED = "repeated"


class CursorColumns:
    """Where the fold of one camera stands.

    waiting_us: since when a gap is waited for; NULL while nothing has come behind one.
    """

    camera_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    born: Mapped[int]
    next_seq: Mapped[int]
    waiting_us: Mapped[int | None]


class OutcomeColumns:
    """One group's outcome for one clip. body: the packed message, until it is folded."""

    camera_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    born: Mapped[int] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    epoch: Mapped[int]
    outcome: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(String(64))
    owned: Mapped[int]
    start_us: Mapped[int | None]
    end_us: Mapped[int | None]
    arrived_us: Mapped[int]
    folded: Mapped[bool] = mapped_column(default=False)
    body: Mapped[bytes | None] = mapped_column(LargeBinary)


Step = Callable[[Any], Awaitable[None]]


class Fold:
    """The fold of one kind of outcome.

    A camera's first outcome starts its cursor at seq 0 of that `born`; a later `born` (the bus was
    lost, or the camera was made anew) starts it again.
    """

    def __init__(self, name: str, database: Database, *, cursors: Any, outcomes: Any) -> None:
        self._name = name
        self._database = database
        self._cursors = cursors
        self._outcomes = outcomes

    async def cursor(self, session: AsyncSession, camera_id: str, born: int) -> Any:
        """The camera's cursor, its row locked for this transaction."""
        fresh = {"camera_id": camera_id, "born": born, "next_seq": 0}
        insert = self._database.insert(self._cursors).values(**fresh).on_conflict_do_nothing()
        await session.execute(insert)
        cursor: Any = await session.get(self._cursors, camera_id, with_for_update=True)
        if born > cursor.born:
            cursor.born, cursor.next_seq, cursor.waiting_us = born, 0, None
        return cursor

    async def take(
        self, session: AsyncSession, message: ClipOutcome, step: Step, now_us: int
    ) -> Arrival:
        """Inserts the outcome and folds what has become contiguous, by `step(row)` each.

        Raises what the step of this very outcome raised: it can be delivered again. An earlier one,
        which cannot, is counted as dead where its step fails, so that its camera goes on.
        """
        cursor = await self.cursor(session, message.camera_id, message.born)
        arrival = await self._insert(session, cursor, message, now_us)
        if arrival is Arrival.IN_TURN:
            await self._advance(session, cursor, step, taken=message.seq)
        elif arrival is Arrival.EARLY and cursor.waiting_us is None:
            cursor.waiting_us = now_us
        ARRIVALS.labels(self._name, arrival.value).inc()
        return arrival

    async def skip_gaps(self, session: AsyncSession, step: Step, now_us: int) -> list[str]:
        """Cameras whose gap has been waited for long enough go on behind it."""
        since_us = now_us - int(GAP_WAIT_S * SECOND_US)
        overdue = select(self._cursors).where(self._cursors.waiting_us < since_us)
        # A camera whose row is locked is being folded at this moment.
        overdue = overdue.order_by(self._cursors.camera_id).with_for_update(skip_locked=True)
        skipped = []
        for cursor in await session.scalars(overdue):
            while cursor.waiting_us is not None and cursor.waiting_us < since_us:
                await self._skip_gap(session, cursor, step)
            skipped.append(cursor.camera_id)
        return skipped

    async def _skip_gap(self, session: AsyncSession, cursor: Any, step: Step) -> None:
        nearest = await session.scalar(
            select(func.min(self._outcomes.seq)).where(*self._behind(cursor))
        )
        if nearest is not None:
            log.warning(
                "gap_skipped",
                fold=self._name,
                camera_id=cursor.camera_id,
                from_seq=cursor.next_seq,
                to_seq=nearest,
            )
            cursor.next_seq = nearest
        await self._advance(session, cursor, step)

    async def _insert(
        self, session: AsyncSession, cursor: Any, message: ClipOutcome, now_us: int
    ) -> Arrival:
        late = message.born < cursor.born or message.seq < cursor.next_seq
        values = row_of(message, now_us)
        key = (message.camera_id, message.born, message.seq)
        existing = await session.get(self._outcomes, key)
        if existing is None:
            session.add(self._outcomes(**values, folded=False))
            await session.flush()
        elif message.replayed and existing.outcome == Outcome.DEAD:
            for column, value in values.items():
                setattr(existing, column, value)
        else:
            return Arrival.REPEATED
        if late:
            return Arrival.LATE
        return Arrival.IN_TURN if message.seq == cursor.next_seq else Arrival.EARLY

    async def _advance(
        self, session: AsyncSession, cursor: Any, step: Step, taken: int | None = None
    ) -> None:
        waiting = select(self._outcomes).where(*self._behind(cursor))
        rows = list(await session.scalars(waiting.order_by(self._outcomes.seq)))
        behind_gap = [
            row.arrived_us for n, row in enumerate(rows) if row.seq != cursor.next_seq + n
        ]
        cursor.waiting_us = min(behind_gap, default=None)
        for row in rows[: len(rows) - len(behind_gap)]:
            if row.seq == taken:
                await step(row)
            else:
                await self._fold_or_bury(session, row, step)
            row.folded = True
            cursor.next_seq += 1

    def _behind(self, cursor: Any) -> tuple[Any, ...]:
        outcomes = self._outcomes
        return (
            outcomes.camera_id == cursor.camera_id,
            outcomes.born == cursor.born,
            outcomes.seq >= cursor.next_seq,
        )

    async def _fold_or_bury(self, session: AsyncSession, row: Any, step: Step) -> None:
        try:
            async with session.begin_nested():
                await step(row)
        except Exception as error:
            if _concerns_all(error):
                raise
            await session.refresh(row)
            log.exception("unfoldable", fold=self._name, camera_id=row.camera_id, seq=row.seq)
            row.outcome, row.reason = Outcome.DEAD.value, "unfoldable"


def _concerns_all(error: Exception) -> bool:
    """Not a fault of this outcome: the database is away, or somebody else has taken over."""
    if isinstance(error, DBAPIError):
        return will_pass(error)
    return isinstance(error, (*OUTAGES, LeaseLost))


def row_of(message: ClipOutcome, arrived_us: int) -> dict[str, Any]:
    """The columns of an outcome's row."""
    times = message.captured_us
    return {
        "camera_id": message.camera_id,
        "born": message.born,
        "seq": message.seq,
        "epoch": message.epoch,
        "outcome": message.outcome.value,
        "reason": message.reason,
        "owned": len(times),
        "start_us": min(times, default=None),
        "end_us": max(times, default=None),
        "arrived_us": arrived_us,
        "body": message.pack(),
    }
