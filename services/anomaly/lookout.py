"""A clip's frames, and what is remembered of their camera -> signs that it was tampered with"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import structlog
from prometheus_client import Counter

from services.anomaly.core.look import HEIGHT, WIDTH, look_of, stir_of
from services.anomaly.core.tampering import ViewMemory, judge
from shared.camera_memory import CameraMemory
from shared.errors import Corrupt
from shared.images import stencil

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.anomaly.core.tampering import TamperingSettings
    from shared.bus import Bus
    from shared.images import Pixels
    from shared.messages import ClipReady, TamperingSigns

log = structlog.get_logger(__name__)

FRAMES_OF_A_LOOK = 4
"""Spread over the clip: what moves is gone from their median, and four cost little."""

TAMPERED = Counter(
    "citybrain_tampered_clips_total", "Clips that show a sign of tampering, by its kind", ["kind"]
)


class Lookout:
    """Watches the cameras themselves. Keeps nothing between clips: what it remembers lies in Redis.

    Two clips of one camera at a time may both look with the memory from before, and one's lesson is
    lost: it learns over minutes, and misses none of them.
    """

    def __init__(self, bus: Bus, settings: TamperingSettings) -> None:
        self._views = CameraMemory(bus, "view")
        self._settings = settings

    async def look(self, clip: ClipReady, frames: Sequence[Pixels]) -> TamperingSigns | None:
        """frames: all of the clip's, gray and masked. None while the camera's usual view is not
        known, or where its masks hide all of it."""
        known = await self._views.recall(clip.camera_id)
        signs, memory = await asyncio.to_thread(
            signs_of, clip, frames, known.value, settings=self._settings
        )
        if memory is not None:
            await self._views.keep(clip.camera_id, memory, (clip.born, clip.seq), known)
        if signs is not None:
            for kind, score in signs.model_dump().items():
                TAMPERED.labels(kind).inc(score >= 1)
        return signs


def signs_of(
    clip: ClipReady,
    frames: Sequence[Pixels],
    known: bytes | None,
    *,
    settings: TamperingSettings,
) -> tuple[TamperingSigns | None, bytes | None]:
    """The clip's signs, and what to remember of its camera after it."""
    picked = np.linspace(0, len(frames) - 1, FRAMES_OF_A_LOOK).round().astype(int)
    hidden = stencil(clip.masks, WIDTH, HEIGHT) if clip.masks else None
    look = look_of([frames[n] for n in picked], hidden)
    if look is None:
        return None, None
    newest_us = clip.frames[-1].captured_us
    signs, memory = judge(_remembered(known), look, stir_of(frames), newest_us, settings)
    return signs, memory.to_bytes()


def _remembered(known: bytes | None) -> ViewMemory | None:
    try:
        return None if known is None else ViewMemory.from_bytes(known)
    except Corrupt as error:
        # Another version wrote it, or it is damaged: the camera's view is learnt anew.
        log.warning("view_forgotten", error=str(error))
        return None
