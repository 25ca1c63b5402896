"""clips -> STAE -> scores"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import numpy as np
import structlog

from services.anomaly.core.clip import gray
from services.anomaly.scorer import NOT_FINITE, View
from shared.bus import Settlement
from shared.errors import Malformed
from shared.images import blacken, decode, encode_jpeg
from shared.letters import bury_clip
from shared.messages import ClipReady, ClipScored, ErrorMap, FrameScore, Outcome
from shared.topics import SCORES, Group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from services.anomaly.lookout import Lookout
    from services.anomaly.scorer import ClipErrors, Scorer
    from shared.batching import Batcher
    from shared.blobs import BlobStore
    from shared.bus import Bus, Delivery
    from shared.images import Pixels
    from shared.messages import Polygon
    from shared.rack import Loaded, ModelRack

log = structlog.get_logger(__name__)

GREATEST_OF_A_MAP = float(np.finfo(np.float16).max)


class ScoringWorker:
    """Gives every clip its one outcome. Keeps nothing between clips: any worker takes any clip."""

    def __init__(
        self,
        bus: Bus,
        blobs: BlobStore,
        rack: ModelRack[Scorer],
        score: Batcher[Loaded[Scorer], View, ClipErrors],
        lookout: Lookout,
    ) -> None:
        self._bus = bus
        self._blobs = blobs
        self._rack = rack
        self._score = score
        self._lookout = lookout

    async def handle(self, clip: ClipReady, delivery: Delivery) -> Settlement:
        """The clip's scores, or why it has none."""
        scored = await self._outcome(clip, delivery)
        return Settlement(outputs=((SCORES, scored),))

    async def bury(self, clip: ClipReady, delivery: Delivery, fault: str) -> Settlement:
        await bury_clip(self._bus, self._blobs, clip, delivery, Group.ANOMALY, fault)
        dead = ClipScored.of(clip, delivery.entry_id, Outcome.DEAD, fault[:64])
        return Settlement(outputs=((SCORES, dead),))

    async def _outcome(self, clip: ClipReady, delivery: Delivery) -> ClipScored:
        entry = delivery.entry_id
        if clip.short:
            return ClipScored.of(clip, entry, Outcome.UNSCORED, "short")
        bodies = await self._bus.fetch_frames([frame.key for frame in clip.frames])
        present = [body for body in bodies if body is not None]
        if len(present) < len(bodies):
            return ClipScored.of(clip, entry, Outcome.EXPIRED, "frames")
        loaded = await self._rack.for_camera(clip.camera_id)
        try:
            colour = loaded.runtime.decodes
            frames = await asyncio.to_thread(_decoded, present, clip.masks, colour)
            captured_us = tuple(frame.captured_us for frame in clip.frames)
            errors = await self._score(loaded, View(frames, clip.unwatched, captured_us))
        except Malformed as error:
            log.warning("clip_unreadable", clip=clip.clip_id, error=str(error))
            return ClipScored.of(clip, entry, Outcome.UNSCORED, error.code)
        if not errors.is_finite:
            # Passed on, it would stay in the camera's baseline for good.
            log.error("clip_not_finite", clip=clip.clip_id, model=loaded.context.model)
            return ClipScored.of(clip, entry, Outcome.UNSCORED, NOT_FINITE)
        scored = await asyncio.to_thread(scored_of, clip, entry, loaded, errors)
        signs = await self._lookout.look(clip, [gray(frame) for frame in frames])
        return scored.model_copy(update={"tampering": signs})


def scored_of(
    clip: ClipReady, entry: str, loaded: Loaded[Scorer], errors: ClipErrors
) -> ClipScored:
    """The outcome of a scored clip: raw errors of its owned frames, the map of the worst one, and
    that one as the model drew it."""
    owned = errors.frame_errors[clip.owned_from :]
    worst = clip.owned_from + int(np.argmax(owned))
    return ClipScored.of(
        clip,
        entry,
        Outcome.DONE,
        context=loaded.context,
        prior=loaded.runtime.prior.frame,
        scores=tuple(
            FrameScore(
                captured_us=frame.captured_us, error=float(error), regions=regions, parts=parts
            )
            for frame, error, regions, parts in zip(
                clip.frames, errors.frame_errors, errors.regions, _parts(errors), strict=True
            )
        )[clip.owned_from :],
        error_map=ErrorMap(
            rows=errors.maps.shape[1],
            columns=errors.maps.shape[2],
            values=errors.maps[worst].clip(max=GREATEST_OF_A_MAP).astype("<f2").tobytes(),
            captured_us=clip.frames[worst].captured_us,
        ),
        reconstruction=None
        if errors.reconstruction is None
        else encode_jpeg(_eight_bits(errors.reconstruction[worst])),
        frames=clip.owned,
        masks=clip.masks,
    )


def _parts(errors: ClipErrors) -> Sequence[dict[str, float]]:
    return errors.parts or [{}] * len(errors.frame_errors)


def _eight_bits(drawn: NDArray[np.float32]) -> Pixels:
    """(H, W) in [0, 1], give or take what the network overshoots."""
    return np.round(drawn.clip(0, 1) * 255).astype(np.uint8)


def _decoded(
    bodies: Sequence[bytes], masks: Sequence[Polygon], colour: Literal["gray", "rgb"]
) -> list[Pixels]:
    return [blacken(decode(body, colour), masks) for body in bodies]
