"""A camera's quiet frames in the database: which picture and thumbnail lie in which slot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from services.gateway.store.tables import QuietFrameRow

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession


async def of_camera(session: AsyncSession, camera_id: str) -> dict[str, QuietFrameRow]:
    """By slot."""
    rows = await session.scalars(select(QuietFrameRow).where(QuietFrameRow.camera_id == camera_id))
    return {row.slot: row for row in rows}


async def forget(session: AsyncSession, camera_id: str) -> None:
    await session.execute(delete(QuietFrameRow).where(QuietFrameRow.camera_id == camera_id))
