"""A clip that failed too often -> dead.v1, its frames kept so that it can be replayed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from shared.clock import now_us
from shared.messages import ClipReady, LetterDied
from shared.topics import DEAD

if TYPE_CHECKING:
    from shared.blobs import BlobStore
    from shared.bus import Bus, Delivery
    from shared.topics import Group


async def bury_clip(
    bus: Bus, blobs: BlobStore, clip: ClipReady, delivery: Delivery, group: Group, fault: str
) -> None:
    """Copies the clip's frames to the blob store and tells of its death.

    A worker that dies in here does it again: the blobs are the same, and the letter is listed once.
    """
    bodies = await bus.fetch_frames([frame.key for frame in clip.frames])
    kept: dict[str, str] = {}
    for frame, body in zip(clip.frames, bodies, strict=True):
        if body is not None:
            name = hashlib.blake2b(frame.key.encode(), digest_size=12).hexdigest()
            kept[frame.key] = f"letters/{clip.camera_id}/{delivery.entry_id}/{name}"
            await blobs.put(kept[frame.key], body)
    await bus.publish(
        DEAD,
        LetterDied(
            stream=delivery.stream,
            group=group,
            entry_id=delivery.entry_id,
            deliveries=delivery.deliveries,
            error=fault,
            body=delivery.body,
            message_type=delivery.type,
            frames=kept,
            died_us=now_us(),
        ),
    )
