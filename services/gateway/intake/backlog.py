"""The bus -> gauges of how much waits, and where."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from prometheus_client import Gauge

from shared.patience import OUTAGES
from shared.topics import CLIP_GROUPS, CLIPS, DEAD, SCORES, SIGHTINGS, TRACKLETS

if TYPE_CHECKING:
    from shared.bus import Bus
    from shared.health import Vital

OPEN_CLIPS = Gauge("citybrain_open_clips", "Clips that a group owes an outcome", ["group"])
BACKLOG = Gauge("citybrain_backlog", "Entries of a stream that no reader has settled", ["topic"])

TOPICS = (CLIPS, SCORES, TRACKLETS, SIGHTINGS, DEAD)
GAUGE_EVERY_S = 5.0


class BacklogGauge:
    """Runs at every gateway; all show the same, so that any of them may be away."""

    def __init__(self, bus: Bus, vital: Vital) -> None:
        self._bus = bus
        self._vital = vital

    async def run(self) -> None:
        """Until cancelled. While Redis is away the last figures stand."""
        while True:
            try:
                await self.read()
                self._vital.well()
            except OUTAGES as error:
                self._vital.ailing(str(error))
            await asyncio.sleep(GAUGE_EVERY_S)

    async def read(self) -> None:
        for group in CLIP_GROUPS:
            OPEN_CLIPS.labels(group.value).set(await self._bus.open_clips(group))
        for topic in TOPICS:
            BACKLOG.labels(topic.name).set(await self._bus.backlog(topic))
