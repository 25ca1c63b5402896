"""The clip that opened an alert -> its pictures and what its scores are made of, kept with it.

Beside the frames: the heat map of the worst one, how the model drew it, and the quiet frame of the
camera that is most like it. Beside a view that was tampered with: the usual one, which is the quiet
frame most like the last.
"""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

import numpy as np
import structlog
from PIL import Image

from services.gateway.core.heat import overlay
from services.gateway.store import alerts
from shared.clock import now_us
from shared.errors import Malformed
from shared.images import blacken, decode, encode_jpeg
from shared.messages import Box, ErrorMap, Polygon

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.gateway.composer.quiet import QuietKeeper
    from services.gateway.core.baseline import Levels
    from services.gateway.store.tables import AlertRow
    from shared.blobs import BlobStore
    from shared.bus import Bus
    from shared.database import Database
    from shared.images import Pixels
    from shared.messages import ClipScored, FrameRef, FrameScore
    from shared.outbox import Relay

log = structlog.get_logger(__name__)

DRAWN_SIDE = 256
"""Longest side of a kept reconstruction, in pixels. Models draw 128 to 256."""


def pending(message: ClipScored, levels: Levels) -> dict[str, Any]:
    """What an alert's row keeps until its pictures are saved: where they are in Redis, and what
    their scores are made of."""
    worst = message.error_map.captured_us if message.error_map else None
    scores = {score.captured_us: score for score in message.scores}
    told: dict[str, Any] = {
        "frames": [
            {
                "key": frame.key,
                "captured_us": frame.captured_us,
                "reading": _reading(scores[frame.captured_us], levels),
            }
            for frame in _telling_frames(message.frames, worst)
        ],
        "masks": [mask.model_dump() for mask in message.masks],
    }
    if message.error_map is not None:
        told["map"] = message.error_map.model_dump(exclude={"values"})
        told["map"]["values"] = base64.b64encode(message.error_map.values).decode()
        told["regions"] = [
            box.model_dump(exclude={"confidence"})
            for box in scores[message.error_map.captured_us].regions
        ]
    if message.reconstruction is not None:
        told["reconstruction"] = base64.b64encode(message.reconstruction).decode()
    return told


def pending_view(message: ClipScored, before: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """The same for an alert about the camera itself: the view is the evidence, and no score.

    before: frames that the alert has already; they stay in front.
    """
    return {
        "frames": [
            {"key": frame.key, "captured_us": frame.captured_us}
            for frame in _telling_frames(message.frames, None)
        ],
        "masks": [mask.model_dump() for mask in message.masks],
        "before": [{**frame, "reading": None} for frame in before],
    }


def _reading(score: FrameScore, levels: Levels) -> dict[str, Any]:
    return {
        "error": score.error,
        "usual": levels.usual,
        "rare": levels.rare,
        "score": levels.score(score.error),
        "parts": score.parts,
    }


def _telling_frames(frames: tuple[FrameRef, ...], worst_us: int | None) -> list[FrameRef]:
    """The first, the worst and the last of the clip's owned frames."""
    if not frames:
        return []
    wanted = {frames[0].captured_us, worst_us, frames[-1].captured_us}
    return [frame for frame in frames if frame.captured_us in wanted]


class EvidenceKeeper:
    """Moves the pictures of fresh alerts from Redis to the blob store."""

    def __init__(
        self, database: Database, bus: Bus, blobs: BlobStore, quiet: QuietKeeper, relay: Relay
    ) -> None:
        self._database = database
        self._bus = bus
        self._blobs = blobs
        self._quiet = quiet
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
        told, folder = row.evidence, f"evidence/{row.camera_id}/{row.id}"
        bodies = await self._bus.fetch_frames([frame["key"] for frame in told["frames"]])
        before = list(told.get("before", ()))
        known = any(frame.get("blob") for frame in before)
        saved: dict[str, Any] = {"state": "saved" if known else "lost", "frames": before}
        for frame, body in zip(told["frames"], bodies, strict=True):
            pixels = await self._pixels(row, body)
            kept = {"captured_us": frame["captured_us"], "reading": frame.get("reading")}
            if pixels is not None:
                saved["state"] = "saved"
                kept["blob"] = f"{folder}/{frame['captured_us']}.jpg"
                await self._blobs.put(kept["blob"], await asyncio.to_thread(encode_jpeg, pixels))
            saved["frames"].append(kept)
            error_map = _map_of(told, frame)
            if error_map is not None:
                saved |= {"worst_us": error_map.captured_us, "regions": told["regions"]}
                if pixels is not None:
                    saved |= await self._beside(row, pixels, error_map)
            elif pixels is not None and _is_view(told) and frame is told["frames"][-1]:
                saved |= await self._normal(row, pixels)
        return saved

    async def _pixels(self, row: AlertRow, body: bytes | None) -> Pixels | None:
        """The masked frame; None where its bytes are gone, or can no longer be read."""
        if body is None:
            return None
        masks = [Polygon.model_validate(mask) for mask in row.evidence["masks"]]
        try:
            return await asyncio.to_thread(lambda: blacken(decode(body, "rgb"), masks))
        except Malformed as error:
            log.warning("evidence_unreadable", alert_id=row.id, error=str(error))
            return None

    async def _beside(self, row: AlertRow, worst: Pixels, error_map: ErrorMap) -> dict[str, Any]:
        """What stands beside the worst frame: its heat map, its reconstruction, and the quiet frame
        that is most like it."""
        folder = f"evidence/{row.camera_id}/{row.id}"
        saved: dict[str, Any] = {"heat_map": f"{folder}/heat.jpg"}
        heat = await asyncio.to_thread(lambda: encode_jpeg(overlay(worst, error_map)))
        await self._blobs.put(saved["heat_map"], heat)
        if row.evidence.get("reconstruction"):
            saved["reconstruction"] = f"{folder}/reconstruction.jpg"
            drawn = base64.b64decode(row.evidence["reconstruction"])
            await self._blobs.put(
                saved["reconstruction"], await asyncio.to_thread(_shaped, drawn, worst)
            )
        return saved | await self._normal(row, worst)

    async def _normal(self, row: AlertRow, frame: Pixels) -> dict[str, Any]:
        """The quiet frame that is most like one of the alert's: empty, where none is kept."""
        regions = [Box.model_validate(box) for box in row.evidence.get("regions", ())]
        normal = await self._quiet.nearest(row.camera_id, frame, regions)
        if normal is None:
            return {}
        # A copy: the quiet frames move on, the alert stays.
        blob = f"evidence/{row.camera_id}/{row.id}/normal.jpg"
        await self._blobs.put(blob, normal.picture)
        kept = {"captured_us": normal.captured_us, "difference": normal.difference, "blob": blob}
        return {"normal": kept}


def _is_view(told: dict[str, Any]) -> bool:
    """Whether it is of an alert about the camera itself (`pending_view`)."""
    return "before" in told


def _map_of(told: dict[str, Any], frame: dict[str, Any]) -> ErrorMap | None:
    """The error map, where it is this frame's."""
    raw = told.get("map")
    if raw is None or raw["captured_us"] != frame["captured_us"]:
        return None
    return ErrorMap.model_validate(raw | {"values": base64.b64decode(raw["values"])})


def _shaped(reconstruction: bytes, frame: Pixels) -> bytes:
    """The reconstruction in the frame's proportions; models squeeze every frame into a square."""
    height, width = frame.shape[:2]
    share = DRAWN_SIDE / max(height, width)
    size = max(1, round(width * share)), max(1, round(height * share))
    drawn = Image.fromarray(decode(reconstruction, "gray"))
    return encode_jpeg(np.asarray(drawn.resize(size, Image.Resampling.BICUBIC)))
