"""The clip that opened an alert -> its frames and heat map, kept for as long as the alert."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

import structlog

from services.gateway.core.heat import overlay
from services.gateway.store import alerts
from shared.clock import now_us
from shared.errors import Malformed
from shared.images import blacken, decode, encode_jpeg
from shared.messages import ErrorMap, Polygon

if TYPE_CHECKING:
    from services.gateway.store.tables import AlertRow
    from shared.blobs import BlobStore
    from shared.bus import Bus
    from shared.database import Database
    from shared.messages import ClipScored, FrameRef
    from shared.outbox import Relay

log = structlog.get_logger(__name__)


def pending(message: ClipScored) -> dict[str, Any]:
    """What an alert's row keeps until its pictures are saved: where they are in Redis."""
    worst = message.error_map.captured_us if message.error_map else None
    told: dict[str, Any] = {
        "frames": [
            {"key": frame.key, "captured_us": frame.captured_us}
            for frame in _telling_frames(message.frames, worst)
        ],
        "masks": [mask.model_dump() for mask in message.masks],
    }
    if message.error_map is not None:
        told["map"] = message.error_map.model_dump(exclude={"values"})
        told["map"]["values"] = base64.b64encode(message.error_map.values).decode()
    return told


def _telling_frames(frames: tuple[FrameRef, ...], worst_us: int | None) -> list[FrameRef]:
    """The first, the worst and the last of the clip's owned frames."""
    if not frames:
        return []
    wanted = {frames[0].captured_us, worst_us, frames[-1].captured_us}
    return [frame for frame in frames if frame.captured_us in wanted]


class EvidenceKeeper:
    """Moves the pictures of fresh alerts from Redis to the blob store."""

    def __init__(self, database: Database, bus: Bus, blobs: BlobStore, relay: Relay) -> None:
        self._database = database
        self._bus = bus
        self._blobs = blobs
        self._relay = relay

    async def save(self, camera_id: str) -> None:
        """Saves what is pending for a camera. Doing it twice gives the same blobs.

        Raises Unavailable where the blob store is full or away: the clip is then not acknowledged.
        """
        async with self._database.reading() as session:
            rows = await alerts.pending_evidence(session, camera_id)
        for row in rows:
            evidence = await self._save_one(row)
            async with self._database.writing() as session:
                fresh = await alerts.get(session, row.id)
                fresh.evidence, fresh.evidence_pending = evidence, False
                alerts.tell_alert(session, "alert.updated", fresh, now_us())
            self._relay.wake()

    async def _save_one(self, row: AlertRow) -> dict[str, Any]:
        told = row.evidence
        bodies = await self._bus.fetch_frames([frame["key"] for frame in told["frames"]])
        masks = tuple(Polygon.model_validate(mask) for mask in told["masks"])
        saved: dict[str, Any] = {"state": "lost", "frames": []}
        for frame, body in zip(told["frames"], bodies, strict=True):
            if body is None:
                continue
            try:
                pictures = await asyncio.to_thread(_pictures, body, masks, _map_of(told, frame))
            except Malformed as error:
                log.warning("evidence_unreadable", alert_id=row.id, error=str(error))
                continue
            key = f"evidence/{row.camera_id}/{row.id}/{frame['captured_us']}.jpg"
            await self._blobs.put(key, pictures[0])
            saved["frames"].append({"captured_us": frame["captured_us"], "blob": key})
            saved["state"] = "saved"
            if len(pictures) > 1:
                saved["heat_map"] = f"evidence/{row.camera_id}/{row.id}/heat.jpg"
                await self._blobs.put(saved["heat_map"], pictures[1])
        return saved


def _map_of(told: dict[str, Any], frame: dict[str, Any]) -> ErrorMap | None:
    """The error map, where it is this frame's."""
    raw = told.get("map")
    if raw is None or raw["captured_us"] != frame["captured_us"]:
        return None
    return ErrorMap.model_validate(raw | {"values": base64.b64decode(raw["values"])})


def _pictures(body: bytes, masks: tuple[Polygon, ...], error_map: ErrorMap | None) -> list[bytes]:
    """The masked frame, and the heat map over it, as JPEG."""
    frame = blacken(decode(body, "rgb"), masks)
    pictures = [encode_jpeg(frame)]
    if error_map is not None:
        pictures.append(encode_jpeg(overlay(frame, error_map)))
    return pictures
