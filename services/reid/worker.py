"""clips -> people -> MSP-CNN -> tracklets"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import structlog

from services.reid.people import Frame, find_people, follow
from shared.bus import Settlement
from shared.camera_memory import CameraMemory
from shared.errors import Malformed
from shared.images import blacken, decode, encode_jpeg
from shared.letters import bury_clip
from shared.mark import refuse_marked
from shared.messages import ClipReady, Outcome, Tracklet, TrackletsEmbedded
from shared.topics import TRACKLETS, Group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.reid.detectors.detector import Detector
    from services.reid.embedder import Embedder
    from services.reid.people import Person, Sights
    from shared.batching import Batcher
    from shared.blobs import BlobStore
    from shared.bus import Bus, Delivery
    from shared.images import Pixels
    from shared.inference import Array
    from shared.rack import Loaded, ModelRack

log = structlog.get_logger(__name__)

CROP_QUALITY = 92


class EmbeddingWorker:
    """Gives every clip its one outcome. What the detector remembers of a camera lies in Redis: any
    worker takes any clip."""

    def __init__(
        self,
        bus: Bus,
        blobs: BlobStore,
        rack: ModelRack[Embedder],
        embed: Batcher[Loaded[Embedder], Sequence[Pixels], Array],
        detector: Detector,
        detect_every: int,
    ) -> None:
        self._bus = bus
        self._blobs = blobs
        self._rack = rack
        self._embed = embed
        self._detector = detector
        self._detect_every = detect_every
        self._memory = CameraMemory(bus, "detector")
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def handle(self, clip: ClipReady, delivery: Delivery) -> Settlement:
        """The clip's people, or why there is nothing to say."""
        return _settlement(await self._outcome(clip, delivery.entry_id), delivery)

    async def bury(self, clip: ClipReady, delivery: Delivery, fault: str) -> Settlement:
        await bury_clip(self._bus, self._blobs, clip, delivery, Group.REID, fault)
        dead = TrackletsEmbedded.of(clip, delivery.entry_id, Outcome.DEAD, fault[:64])
        return _settlement(dead, delivery)

    async def _outcome(self, clip: ClipReady, entry: str) -> TrackletsEmbedded:
        bodies = await self._bus.fetch_frames([frame.key for frame in clip.owned])
        present = [body for body in bodies if body is not None]
        if len(present) < len(bodies):
            return TrackletsEmbedded.of(clip, entry, Outcome.EXPIRED, "frames")
        try:
            frames = await asyncio.to_thread(_frames, clip, present)
            sights = await self._find(clip, frames)
            return await self._embedded(clip, entry, sights)
        except Malformed as error:
            log.warning("clip_unreadable", clip=clip.clip_id, error=str(error))
            return TrackletsEmbedded.of(clip, entry, Outcome.UNSCORED, error.code)

    async def _find(self, clip: ClipReady, frames: Sequence[Frame]) -> Sights:
        """One clip of a camera at a time: two side by side would both look with the memory from
        before, and one's lesson would be lost, just when a backlog makes every lesson dear."""
        turn = self._turns.setdefault(clip.camera_id, asyncio.Lock())
        async with turn:
            return await self._find_in_turn(clip, frames)

    async def _find_in_turn(self, clip: ClipReady, frames: Sequence[Frame]) -> Sights:
        known = await self._memory.recall(clip.camera_id)
        sights = await asyncio.to_thread(
            find_people, frames, self._detector, known.value, every=self._detect_every
        )
        if sights.memory is not None and sights.memory != known.value:
            version = (clip.born, clip.seq)
            await self._memory.keep(clip.camera_id, sights.memory, version, known)
        return sights

    async def _embedded(self, clip: ClipReady, entry: str, sights: Sights) -> TrackletsEmbedded:
        loaded = await self._rack.for_camera(clip.camera_id)
        tracklets: list[Tracklet] = []
        if seen := sights.all:
            vectors = await self._embed(loaded, [sight.crop for sight in seen])
            people = await asyncio.to_thread(follow, sights, vectors)
            for n, person in enumerate(people):
                crop = f"crops/{clip.camera_id}/{clip.epoch}/{clip.seq}-{n}.jpg"
                await self._blobs.put(crop, encode_jpeg(person.crop, CROP_QUALITY))
                tracklets.append(_tracklet(n, person, crop))
        return TrackletsEmbedded.of(
            clip,
            entry,
            Outcome.DONE,
            model=loaded.context.model,
            model_digest=loaded.context.model_digest,
            detected_us=tuple(sights.frames),
            tracklets=tuple(tracklets),
        )


def _settlement(outcome: TrackletsEmbedded, delivery: Delivery) -> Settlement:
    """Crops are stored by now, so the clip's frames are needed no longer."""
    return Settlement(outputs=((TRACKLETS, outcome),), release=(delivery.entry_id,))


def _tracklet(n: int, person: Person, crop: str) -> Tracklet:
    return Tracklet(
        n=n,
        detections=person.detections,
        crop=crop,
        quality=person.looks.quality,
        vector=person.looks.vector.astype("<f2").tobytes(),
    )


def _frames(clip: ClipReady, bodies: Sequence[bytes]) -> list[Frame]:
    """Raises Malformed (`image_truncated`, `synthetic_image`): what leads into the gallery looks
    for the mark by itself, whoever has let the frame in."""
    for body in bodies:
        refuse_marked(body)
    return [
        Frame(frame.captured_us, blacken(decode(body, "rgb"), clip.masks), frame.boxes)
        for frame, body in zip(clip.owned, bodies, strict=True)
    ]
