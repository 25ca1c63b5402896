"""The gallery's lease -> the one that writes, as long as it holds"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.reid.gallery.reindexing import Reindexing
    from services.reid.gallery.spaces import Spaces
    from services.reid.gallery.worker import GalleryWriter
    from shared.consumer import Consumer
    from shared.leases import Lease
    from shared.messages import TrackletsEmbedded


class Leader:
    """All that only one process does: takes tracklets, goes on behind gaps, fills spaces, brings a
    gallery up that is shared."""

    def __init__(
        self,
        writer: GalleryWriter,
        consumer: Consumer[TrackletsEmbedded],
        reindexing: Reindexing,
        spaces: Spaces,
    ) -> None:
        """consumer: whose deliveries the writer handles."""
        self._writer = writer
        self._consumer = consumer
        self._reindexing = reindexing
        self._spaces = spaces

    async def lead(self, lease: Lease) -> None:
        """Until cancelled. When one part ends, all do; raises what it ended by."""
        self._writer.take_over(lease)
        self._spaces.lead(leads=True)
        parts = (self._consumer.run(), self._writer.watch_gaps(), self._reindexing.run(lease))
        tasks = [asyncio.ensure_future(part) for part in parts]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._spaces.lead(leads=False)
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end
