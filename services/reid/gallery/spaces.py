"""Model digests -> embedding spaces: vectors of two models are never compared."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from services.reid.gallery.cache import GalleryCache
from shared.patience import OUTAGES

if TYPE_CHECKING:
    from pathlib import Path

    from shared.database import Database
    from shared.health import Vital


class Spaces:
    """The caches of all models in use, each loaded when it is first asked for."""

    def __init__(self, database: Database, folder: Path, vital: Vital) -> None:
        self._database = database
        self._folder = folder
        self._vital = vital
        self._caches: dict[str, GalleryCache] = {}
        self._loading = asyncio.Lock()

    async def of(self, model_digest: str) -> GalleryCache:
        """The space of a model. Raises Unavailable while the database is away."""
        async with self._loading:
            cache = self._caches.get(model_digest)
            if cache is None:
                cache = GalleryCache(self._database, self._folder, model_digest)
                await cache.load()
                self._caches[model_digest] = cache
            return cache

    async def run(self, *, every_s: float = 0.5) -> None:
        """Until cancelled: keeps every loaded space up with the tables, then saves them."""
        try:
            while True:
                try:
                    for cache in list(self._caches.values()):
                        await cache.follow()
                    self._vital.well()
                except OUTAGES as error:
                    self._vital.ailing(str(error))
                await asyncio.sleep(every_s)
        finally:
            for cache in list(self._caches.values()):
                await asyncio.shield(cache.save())
