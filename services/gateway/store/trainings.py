"""Trainings in the database: which camera's footage is recorded, which job learns from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, update
from ulid import ULID

from services.gateway.core.training import UNDER_WAY, TrainingState
from services.gateway.store.tables import TrainingRow
from shared.clock import now_us
from shared.errors import Conflict, Missing

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession


async def begin(session: AsyncSession, camera_id: str, **columns: object) -> TrainingRow:
    """Starts to record. The camera's row must be locked.

    Raises Conflict where a training of the camera is under way.
    """
    if (other := await under_way(session, camera_id)) is not None:
        raise Conflict(
            f"camera {camera_id!r} is in training {other.id} already; wait for its end, or cancel"
            f" it: DELETE /v1/baselines/{camera_id}/trainings/{other.id}",
            code="training_under_way",
        )
    row = TrainingRow(
        id=str(ULID()),
        camera_id=camera_id,
        state=TrainingState.RECORDING,
        created_us=now_us(),
        **columns,
    )
    session.add(row)
    await session.flush()
    return row


async def under_way(session: AsyncSession, camera_id: str) -> TrainingRow | None:
    query = select(TrainingRow).where(
        TrainingRow.camera_id == camera_id, TrainingRow.state.in_(UNDER_WAY)
    )
    row: TrainingRow | None = await session.scalar(query.limit(1))
    return row


async def in_state(session: AsyncSession, *states: TrainingState) -> list[TrainingRow]:
    """The oldest first."""
    query = select(TrainingRow).where(TrainingRow.state.in_(states)).order_by(TrainingRow.id)
    return list(await session.scalars(query))


async def find(
    session: AsyncSession, camera_id: str, training_id: str, *, lock: bool = False
) -> TrainingRow:
    """Raises Missing for one that is unknown, or another camera's."""
    row = await session.get(TrainingRow, training_id, with_for_update=lock)
    if row is None or row.camera_id != camera_id:
        raise Missing(
            f"camera {camera_id!r} has no training {training_id!r}", code="unknown_training"
        )
    return row


async def count(
    session: AsyncSession, training_id: str, *, frames: int, size_bytes: int, most_bytes: int
) -> bool:
    """Counts a recorded clip, and ends the recording when it is enough; False where none is wanted
    any more."""
    row = await session.get(TrainingRow, training_id, with_for_update=True)
    if row is None or row.state != TrainingState.RECORDING or row.stop_reason is not None:
        return False
    row.frames += frames
    row.bytes += size_bytes
    if row.frames >= row.frames_wanted or row.bytes >= most_bytes:
        row.state = TrainingState.RECORDED
    return True


async def stop(session: AsyncSession, camera_id: str, reason: str) -> None:
    """What is under way at a camera is to end."""
    await session.execute(
        update(TrainingRow)
        .where(TrainingRow.camera_id == camera_id, TrainingRow.state.in_(UNDER_WAY))
        .where(TrainingRow.stop_reason.is_(None))
        .values(stop_reason=reason)
    )
