"""What has been done for a camera, in the database: its calibrations, its trainings."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import select

from services.gateway.store import cameras
from services.gateway.store.tables import CalibrationRow, TrainingRow
from shared.paging import newest

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

Record = TypeVar("Record", CalibrationRow, TrainingRow)


async def page(
    session: AsyncSession, table: type[Record], camera_id: str, limit: int, before: str | None
) -> list[Record]:
    """A camera's records of one kind, the newest first. Raises Missing for an unknown camera."""
    await cameras.find(session, camera_id)
    query = select(table).where(table.camera_id == camera_id)
    return await newest(session, query, table.id, limit, before)
