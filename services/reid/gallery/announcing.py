"""Changed tracklets -> PersonsRevised, in the outbox of the transaction that changed them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

from services.reid.gallery.rows import sighting_of
from services.reid.gallery.tables import How, OutboxRow
from shared.messages import PersonsRevised
from shared.outbox import announce
from shared.topics import SIGHTINGS, partition_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from services.reid.gallery.tables import TrackletRow
    from shared.messages import Sighting

MOST_SIGHTINGS = 200
"""Of one message, so that it stays well below a megabyte (ours)."""


class Herald:
    """Tells of changes, each camera's in its own partition, behind what was first told of it."""

    def __init__(self, partitions: int) -> None:
        self._partitions = partitions

    async def tell_revised(
        self,
        session: AsyncSession,
        rows: Iterable[TrackletRow],
        revision: int,
        *,
        merged: dict[str, str] | None = None,
        unmerged: Collection[str] = (),
    ) -> None:
        """rows: that have changed. merged and unmerged: as in PersonsRevised. revision: the last of
        the change."""
        persons = {"revision": revision, "merged": merged or {}, "unmerged": tuple(unmerged)}
        by_camera: dict[str, list[TrackletRow]] = defaultdict(list)
        for row in rows:
            by_camera[row.camera_id].append(row)
        if not by_camera:
            self._announce(session, PersonsRevised.model_validate(persons))
        for camera_id, of_camera in by_camera.items():
            for n in range(0, len(of_camera), MOST_SIGHTINGS):
                some = [_revised(row) for row in of_camera[n : n + MOST_SIGHTINGS]]
                part = persons | {"camera_id": camera_id, "sightings": some}
                self._announce(session, PersonsRevised.model_validate(part))
                # Thousands of sightings take seconds: everybody else has their turn in between.
                await asyncio.sleep(0)

    def tell_forgotten(
        self, session: AsyncSession, names: Sequence[tuple[str, str]], revision: int
    ) -> None:
        """names: camera and name of each tracklet that is gone."""
        by_camera: dict[str, list[str]] = defaultdict(list)
        for camera_id, name in names:
            by_camera[camera_id].append(name)
        for camera_id, gone in by_camera.items():
            told = PersonsRevised(revision=revision, camera_id=camera_id, forgotten=tuple(gone))
            self._announce(session, told)

    def _announce(self, session: AsyncSession, message: PersonsRevised) -> None:
        partition = partition_of(message.camera_id or "", self._partitions)
        announce(session, OutboxRow, SIGHTINGS, message, partition)


def _revised(row: TrackletRow) -> Sighting:
    told = {"revision": row.revision, "confirmed": row.how == How.TOLD}
    return sighting_of(row).model_copy(update=told)
