"""Cameras in the database, and the copy of them that every frame asks for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sqlalchemy import delete as delete_from
from sqlalchemy import select

from services.gateway.core.alarm import OwnRule
from services.gateway.core.camera import Camera, CameraMode, Location
from services.gateway.store.tables import BaselineHourRow, CameraRow, WatchRow
from shared.clock import now_us
from shared.errors import Conflict, Missing, Stale
from shared.messages import Polygon

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.ext.asyncio import AsyncSession

    from shared.database import Database

REFRESH_S = 2.0


def camera_of(row: CameraRow) -> Camera:
    return Camera(
        id=row.id,
        name=row.name,
        site=row.site,
        location=Location.model_validate(row.location) if row.location else None,
        mode=CameraMode(row.mode),
        analysis_fps=row.analysis_fps,
        stride=row.stride,
        masks=tuple(Polygon.model_validate(polygon) for polygon in row.masks),
        unwatched=tuple(Polygon.model_validate(polygon) for polygon in row.unwatched),
        time_zone=row.time_zone,
        alarm_rule=OwnRule.model_validate(row.alarm_rule) if row.alarm_rule else None,
        alert_budget_per_day=row.alert_budget_per_day,
    )


def _columns(camera: Camera) -> dict[str, object]:
    return camera.model_dump(mode="json", exclude={"id"})


async def find(session: AsyncSession, camera_id: str, *, lock: bool = False) -> CameraRow:
    """Raises Missing for a camera that is unknown or deleted."""
    row = await session.get(CameraRow, camera_id, with_for_update=lock)
    if row is None or row.deleted_us is not None:
        raise Missing(
            f"no camera {camera_id!r}; register it with POST /v1/cameras", code="unknown_camera"
        )
    return row


async def add(session: AsyncSession, camera: Camera) -> CameraRow:
    """Registers a camera. One that was deleted may be registered anew.

    Raises Conflict where a camera of that id exists.
    """
    row = await session.get(CameraRow, camera.id, with_for_update=True)
    now = now_us()
    if row is None:
        row = CameraRow(id=camera.id, version=0, created_us=now)
        session.add(row)
    elif row.deleted_us is None:
        raise Conflict(
            f"camera {camera.id!r} exists; change it with PATCH", code="duplicate_camera"
        )
    for column, value in _columns(camera).items():
        setattr(row, column, value)
    row.version += 1
    row.updated_us, row.deleted_us = now, None
    await session.merge(WatchRow(camera_id=camera.id, presence="new", learning=True, alarm=None))
    await session.flush()
    return row


async def change(session: AsyncSession, camera: Camera, version: int | None) -> CameraRow:
    """Replaces a camera's columns.

    Raises Missing, or Stale where `version` is given and is not the newest.
    """
    row = await find(session, camera.id, lock=True)
    if version is not None and version != row.version:
        raise Stale(f"camera {camera.id!r} is at version {row.version}; read it again")
    if camera.time_zone != row.time_zone:
        # What was learnt of 8 o'clock is now of another hour.
        await session.execute(
            delete_from(BaselineHourRow).where(BaselineHourRow.camera_id == camera.id)
        )
    for column, value in _columns(camera).items():
        setattr(row, column, value)
    row.version += 1
    row.updated_us = now_us()
    return row


async def delete(session: AsyncSession, camera_id: str) -> None:
    """Leaves a tombstone. Raises Missing."""
    row = await find(session, camera_id, lock=True)
    row.deleted_us = now_us()


async def page(
    session: AsyncSession, limit: int, after: str | None, only: Collection[str] | None
) -> list[CameraRow]:
    """Cameras by id, from behind `after`; only: those a key may see."""
    query = select(CameraRow).where(CameraRow.deleted_us.is_(None)).order_by(CameraRow.id)
    if after is not None:
        query = query.where(CameraRow.id > after)
    if only is not None:
        query = query.where(CameraRow.id.in_(only))
    return list(await session.scalars(query.limit(limit)))


class Registry:
    """All cameras, at most two seconds old: what intake looks a frame's camera up in."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._cameras: dict[str, Camera] = {}
        self._read_at = float("-inf")

    async def all(self) -> dict[str, Camera]:
        if time.monotonic() - self._read_at > REFRESH_S:
            await self.refresh()
        return self._cameras

    async def find(self, camera_id: str) -> Camera | None:
        camera = (await self.all()).get(camera_id)
        if camera is None:
            # It may have been registered just now, at another gateway.
            await self.refresh()
        return self._cameras.get(camera_id)

    async def get(self, camera_id: str) -> Camera:
        """Raises Missing for an unknown camera."""
        if (camera := await self.find(camera_id)) is None:
            raise Missing(
                f"no camera {camera_id!r}; register it with POST /v1/cameras", code="unknown_camera"
            )
        return camera

    async def refresh(self) -> None:
        async with self._database.reading() as session:
            rows = await session.scalars(select(CameraRow).where(CameraRow.deleted_us.is_(None)))
            self._cameras = {row.id: camera_of(row) for row in rows}
        self._read_at = time.monotonic()
