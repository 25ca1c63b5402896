"""Tracks that have no person yet, and cameras from which nothing more of them will come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import and_, exists, select

from services.reid.core.looks import Looks, pooled
from services.reid.gallery.rows import looks_of, stands_of
from services.reid.gallery.tables import How, TrackletCursorRow, TrackletOutcomeRow, TrackletRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from services.reid.core.overlap import Stand


@dataclass(frozen=True, eq=False)
class WaitingTrack:
    """The tracklets of a track that has no person yet, as one. sights: its boxes."""

    rows: Sequence[TrackletRow]
    looks: Looks
    sights: int

    @classmethod
    def of(cls, rows: Sequence[TrackletRow]) -> WaitingTrack:
        looks = pooled(looks_of(row) for row in rows)
        return cls(rows, looks, sum(len(row.boxes) for row in rows))

    @property
    def camera_id(self) -> str:
        return self.rows[0].camera_id

    @property
    def model_digest(self) -> str:
        return self.rows[0].model_digest

    @property
    def start_us(self) -> int:
        return min(row.start_us for row in self.rows)

    @property
    def stands(self) -> list[Stand]:
        return sorted(
            (stand for row in self.rows for stand in stands_of(row)), key=lambda it: it.time_s
        )

    @property
    def end_us(self) -> int:
        return max(row.end_us for row in self.rows)


async def waiting_at(session: AsyncSession, camera_id: str) -> list[WaitingTrack]:
    """A camera's tracks without a person, in the order in which they came."""
    query = (
        select(TrackletRow)
        .where(TrackletRow.camera_id == camera_id, TrackletRow.how == How.WAITING)
        .order_by(TrackletRow.id)
    )
    rows_of: dict[str, list[TrackletRow]] = {}
    for row in await session.scalars(query):
        rows_of.setdefault(row.track_id, []).append(row)
    return [WaitingTrack.of(rows) for rows in rows_of.values()]


async def beside(session: AsyncSession, track: WaitingTrack) -> frozenset[str]:
    """Persons that the camera saw while it saw this track."""
    query = select(TrackletRow.person_id).where(
        TrackletRow.camera_id == track.camera_id,
        TrackletRow.end_us >= track.start_us,
        TrackletRow.start_us <= track.end_us,
        TrackletRow.person_id.is_not(None),
    )
    return frozenset(person for person in await session.scalars(query) if person is not None)


async def silent_cameras(session: AsyncSession, since_us: int) -> list[str]:
    """Cameras at which somebody waits and whose last clip was taken before then, by this server's
    clock. One behind a gap is not silent."""
    cursor, outcome = TrackletCursorRow, TrackletOutcomeRow
    last = and_(
        outcome.camera_id == cursor.camera_id,
        outcome.born == cursor.born,
        outcome.seq == cursor.next_seq - 1,
    )
    waits = exists().where(
        TrackletRow.camera_id == cursor.camera_id, TrackletRow.how == How.WAITING
    )
    query = (
        select(cursor.camera_id)
        .join(outcome, last)
        .where(cursor.waiting_us.is_(None), outcome.arrived_us < since_us, waits)
        .order_by(cursor.camera_id)
    )
    return list(await session.scalars(query))
