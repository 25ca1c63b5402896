"""Quiet clips of cameras that are in training -> their footage, small, gray and masked

Recording is asked for, camera by camera, and ends by itself; nothing is recorded otherwise.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import numpy as np
import structlog
from PIL import Image

from services.gateway.composer.quiet import unchanged
from services.gateway.core.training import TrainingState
from services.gateway.store import trainings
from shared.errors import Malformed, Unavailable
from shared.images import blacken, decode, encode_jpeg
from shared.recorded_clip import LONGEST_SIDE, RecordedClip, clip_key, footage_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.gateway.composer.quiet import QuietMoment
    from shared.blobs import BlobStore
    from shared.bus import Bus
    from shared.database import Database
    from shared.messages import Polygon

log = structlog.get_logger(__name__)

LOOKS_EVERY_S = 1.0

QUALITY = 90
"""Of the JPEGs: the errors of STAE on them are within a hundredth of those on the frames."""


class FootageRecorder:
    """Keeps whole clips, for a network learns from frames that follow one another. A clip that
    cannot be kept is a gap, no more. most_bytes: of one training."""

    def __init__(self, database: Database, bus: Bus, blobs: BlobStore, most_bytes: int) -> None:
        self._database = database
        self._bus = bus
        self._blobs = blobs
        self._most_bytes = most_bytes
        self._wanted: dict[str, str] = {}
        self._looked_at = float("-inf")

    async def keep(self, moment: QuietMoment) -> None:
        """Its frames must not have been let go."""
        try:
            training_id = (await self._recordings()).get(moment.camera_id)
            if training_id is not None and moment.frames:
                await self._keep(training_id, moment)
        except (Malformed, Unavailable) as error:
            log.warning("clip_not_recorded", camera_id=moment.camera_id, error=str(error))

    async def forget(self, camera_id: str, reason: str) -> None:
        """Deletes what is recorded of a camera, and has its training end for that reason.

        Raises Unavailable where the blob store is away.
        """
        async with self._database.writing() as session:
            await trainings.stop(session, camera_id, reason)
        await self._blobs.delete(footage_of(camera_id))

    async def _recordings(self) -> dict[str, str]:
        """Ids of the trainings that record, by camera; a second old at most."""
        if time.monotonic() - self._looked_at > LOOKS_EVERY_S:
            async with self._database.reading() as session:
                rows = await trainings.in_state(session, TrainingState.RECORDING)
            self._wanted = {row.camera_id: row.id for row in rows if row.stop_reason is None}
            self._looked_at = time.monotonic()
        return self._wanted

    async def _keep(self, training_id: str, moment: QuietMoment) -> None:
        bodies = await self._bus.fetch_frames([frame.key for frame in moment.frames])
        present = [body for body in bodies if body is not None]
        if len(present) == len(bodies):
            pictures = await asyncio.to_thread(_pictures, present, moment.masks)
            await self._store(training_id, moment, pictures)

    async def _store(
        self, training_id: str, moment: QuietMoment, pictures: Sequence[bytes]
    ) -> None:
        times = [frame.captured_us for frame in moment.frames]
        body = RecordedClip(captured_us=tuple(times), pictures=tuple(pictures)).pack()
        key = clip_key(footage_of(moment.camera_id, training_id), times[0])
        await self._blobs.put(key, body)
        async with self._database.writing() as session:
            stays = await unchanged(session, moment) is not None and await trainings.count(
                session,
                training_id,
                frames=len(times),
                size_bytes=len(body),
                most_bytes=self._most_bytes,
            )
        if not stays:
            # It has ended meanwhile, or shows what is to be hidden now.
            await self._blobs.delete(key)


def _pictures(bodies: Sequence[bytes], masks: Sequence[Polygon]) -> list[bytes]:
    return [_picture(body, masks) for body in bodies]


def _picture(body: bytes, masks: Sequence[Polygon]) -> bytes:
    """The masked frame as gray JPEG, no larger than training needs."""
    image = Image.fromarray(blacken(decode(body, "gray"), masks))
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BOX)
    return encode_jpeg(np.asarray(image), QUALITY)
