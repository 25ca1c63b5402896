"""Quiet clips -> a few frames of each camera as it usually looks -> the one most like an alert's"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import structlog
from PIL import Image

from services.gateway.core import quiet
from services.gateway.store import quiet_frames
from services.gateway.store.cameras import camera_of
from services.gateway.store.tables import CameraRow, QuietFrameRow
from shared.errors import Malformed, Missing, Unavailable
from shared.images import blacken, decode, encode_jpeg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from services.gateway.core.camera import Camera
    from shared.blobs import BlobStore
    from shared.bus import Bus
    from shared.database import Database
    from shared.images import Pixels
    from shared.messages import Box, ClipScored, FrameRef, Polygon

log = structlog.get_logger(__name__)

LONGEST_SIDE = 640
"""Of a kept picture, in pixels: it is looked at beside others, and there are many of them."""


@dataclass(frozen=True)
class QuietMoment:
    """A frame of a clip in which nothing was unusual, still where it is in Redis. frames: all that
    the clip owns."""

    camera_id: str
    frame: FrameRef
    masks: tuple[Polygon, ...]
    frames: tuple[FrameRef, ...] = ()


@dataclass(frozen=True)
class NearestNormal:
    """The quiet frame that is most like another. difference: see services.gateway.core.quiet."""

    captured_us: int
    difference: float
    picture: bytes


class QuietKeeper:
    """Keeps a bounded set of frames per camera. They are a help, not a promise: where one cannot
    be kept, the next one may."""

    def __init__(self, database: Database, bus: Bus, blobs: BlobStore) -> None:
        self._database = database
        self._bus = bus
        self._blobs = blobs
        self._kept_us: dict[str, int] = {}
        # A camera's clips are handled side by side: an alert waits for the frame before it.
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def keep(self, moment: QuietMoment) -> None:
        """Keeps a frame, where one is due. Its bytes must not have been let go."""
        async with self._turns[moment.camera_id]:
            await self._keep(moment)

    async def _keep(self, moment: QuietMoment) -> None:
        captured_us = moment.frame.captured_us
        if not quiet.is_due(captured_us, self._kept_us.get(moment.camera_id)):
            return
        (body,) = await self._bus.fetch_frames([moment.frame.key])
        if body is None:
            return
        try:
            picture, thumbnail = await asyncio.to_thread(_pictures, body, moment.masks)
            await self._store(moment, picture, thumbnail)
        except (Malformed, Unavailable) as error:
            log.warning("quiet_frame_not_kept", camera_id=moment.camera_id, error=str(error))
            return
        self._kept_us[moment.camera_id] = captured_us

    async def nearest(
        self, camera_id: str, frame: Pixels, regions: Sequence[Box]
    ) -> NearestNormal | None:
        """The quiet frame that is most like a frame of the camera outside of its regions.

        Raises Unavailable where the blob store is away.
        """
        async with self._turns[camera_id], self._database.reading() as session:
            rows = await quiet_frames.of_camera(session, camera_id)
        kept = {
            slot: np.frombuffer(row.thumbnail, np.uint8).reshape(quiet.ROWS, quiet.COLUMNS)
            for slot, row in rows.items()
        }
        height, width = frame.shape[:2]
        shown = quiet.outside(regions, width, height)
        found = quiet.nearest(await asyncio.to_thread(quiet.thumbnail_of, frame), shown, kept)
        if found is None:
            return None
        row = rows[found.slot]
        try:
            picture = await self._blobs.get(row.blob)
        except Missing:  # forgotten in this moment
            return None
        return NearestNormal(row.captured_us, found.difference, picture)

    async def forget(self, camera_id: str) -> None:
        """Forgets what is kept of a camera. Raises Unavailable where the blob store is away."""
        self._kept_us.pop(camera_id, None)
        async with self._database.writing() as session:
            await quiet_frames.forget(session, camera_id)
        await self._blobs.delete(_folder(camera_id))

    async def _store(self, moment: QuietMoment, picture: bytes, thumbnail: bytes) -> None:
        captured_us = moment.frame.captured_us
        async with self._database.reading() as session:
            camera = await unchanged(session, moment)
            rows = await quiet_frames.of_camera(session, moment.camera_id)
        if camera is None:
            return
        kept = {slot: row.captured_us for slot, row in rows.items()}
        slots = quiet.slots_for(captured_us, camera.hour_of(captured_us), kept)
        blobs = {slot: f"{_folder(moment.camera_id)}/{slot}.jpg" for slot in slots}
        for blob in blobs.values():
            await self._blobs.put(blob, picture)
        async with self._database.writing() as session:
            stays = await unchanged(session, moment) is not None
            for slot, blob in blobs.items() if stays else ():
                row = QuietFrameRow(
                    camera_id=moment.camera_id,
                    slot=slot,
                    captured_us=captured_us,
                    blob=blob,
                    thumbnail=thumbnail,
                )
                await session.merge(row)
        if not stays:
            # Forgotten meanwhile: what was put after that must go as well.
            await self._blobs.delete(_folder(moment.camera_id))


def quiet_moment(
    message: ClipScored, scores: Sequence[float], close_score: float
) -> QuietMoment | None:
    """The quietest frame of a clip all of whose frames score below `close_score`.

    scores: of the clip's owned frames, in their order.
    """
    if not scores or not message.frames or max(scores) >= close_score:
        return None
    quietest = message.frames[int(np.argmin(scores))]
    return QuietMoment(message.camera_id, quietest, message.masks, message.frames)


def _folder(camera_id: str) -> str:
    return f"quiet/{camera_id}"


async def unchanged(session: AsyncSession, moment: QuietMoment) -> Camera | None:
    """The camera, where it still is, and hides no more than the frame does."""
    row = await session.get(CameraRow, moment.camera_id)
    if row is None or row.deleted_us is not None:
        return None
    camera = camera_of(row)
    return camera if camera.masks == moment.masks else None


def _pictures(body: bytes, masks: Sequence[Polygon]) -> tuple[bytes, bytes]:
    """The masked frame as JPEG, no larger than need be, and its thumbnail."""
    frame = blacken(decode(body, "rgb"), masks)
    image = Image.fromarray(frame)
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return encode_jpeg(np.asarray(image)), quiet.thumbnail_of(frame).tobytes()
