"""A camera's stored crops -> small ones, which show how it sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from sqlalchemy import select

from services.reid.gallery.tables import TrackletRow
from shared.errors import Missing
from shared.images import decode

if TYPE_CHECKING:
    from collections.abc import Collection

    from shared.blobs import BlobStore
    from shared.database import Database
    from shared.images import Pixels

NEWEST = 20_000
"""Tracklets of a camera that are chosen from: some days of a busy one."""


@dataclass(frozen=True)
class Glimpses:
    """min_quality: of the crops. height, width: to which they are brought."""

    database: Database
    blobs: BlobStore
    min_quality: float
    height: int
    width: int

    async def of(self, camera_id: str, most: int) -> list[Pixels]:
        """At most so many, spread evenly over the camera's newest tracklets, by day and by night.

        Who is forgotten by the time this returns is not among them. Raises Unavailable.
        """
        keys = await self._keys(camera_id)
        chosen = np.unique(np.linspace(0, len(keys) - 1, min(most, len(keys))).astype(int))
        found = {key: await self._small(key) for key in (keys[n] for n in chosen)}
        known = await self._known(camera_id, found)
        return [crop for key, crop in found.items() if crop is not None and key in known]

    async def _keys(self, camera_id: str) -> list[str]:
        row = TrackletRow
        query = select(row.crop).where(row.camera_id == camera_id, row.quality >= self.min_quality)
        async with self.database.reading() as session:
            return list(await session.scalars(query.order_by(row.end_us.desc()).limit(NEWEST)))

    async def _known(self, camera_id: str, keys: Collection[str]) -> set[str]:
        """Whose tracklets are still there: what was read may have been forgotten meanwhile."""
        row = TrackletRow
        query = select(row.crop).where(row.camera_id == camera_id, row.crop.in_(list(keys)))
        async with self.database.reading() as session:
            return set(await session.scalars(query))

    async def _small(self, key: str) -> Pixels | None:
        try:
            crop = decode(await self.blobs.get(key), "rgb")
        except Missing:  # it has been forgotten
            return None
        size = (self.width, self.height)
        return np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), np.uint8)
