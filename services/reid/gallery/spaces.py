"""Model digests -> embedding spaces: vectors of two models are never compared."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from typing import TYPE_CHECKING

from services.reid.gallery.space import Space
from shared.patience import OUTAGES

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.reid.gallery.gallery import Gallery
    from shared.database import Database
    from shared.health import Vital

IDLE_S = 3600.0
"""A space that nobody has asked for as long gives its memory back."""


class Spaces:
    """The spaces of all models in use, each loaded when it is first asked for.

    follows: whether this process brings galleries up with the tables. Where several processes share
    a gallery, only the one that leads does.
    """

    def __init__(
        self, database: Database, make: Callable[[str], Gallery], vital: Vital, *, shared: bool
    ) -> None:
        """make: a gallery by its model's digest. shared: other processes have the same one."""
        self._database = database
        self._make = make
        self._vital = vital
        self._shared = shared
        self._spaces: dict[str, Space] = {}
        self._asked_at: dict[str, float] = {}
        self._loading: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.follows = not shared

    async def of(self, model_digest: str) -> Space:
        """The space of a model. Raises Unavailable while the database or the gallery is away."""
        self._asked_at[model_digest] = time.monotonic()
        if (loaded := self._spaces.get(model_digest)) is not None:
            return loaded
        # Whoever asks for another space does not wait for this one.
        async with self._loading[model_digest]:
            if model_digest not in self._spaces:
                space = Space(self._database, self._make(model_digest))
                await space.load(follows=self.follows)
                self._spaces[model_digest] = space
            return self._spaces[model_digest]

    def lead(self, *, leads: bool) -> None:
        """Tells whether this process is the one that brings a shared gallery up."""
        self.follows = leads or not self._shared

    async def run(self, *, every_s: float = 0.5) -> None:
        """Until cancelled: keeps every loaded space up with the tables, then saves them."""
        try:
            while True:
                try:
                    for space in list(self._spaces.values()):
                        await self._attend(space)
                    self._vital.well()
                except OUTAGES as error:
                    self._vital.ailing(str(error))
                await asyncio.sleep(every_s)
        finally:
            for space in list(self._spaces.values()):
                await asyncio.shield(space.gallery.close())

    async def tend(self, vital: Vital, *, every_s: float = 1.0) -> None:
        """Until cancelled: snapshots and measurements of recall, which take seconds, while every
        space goes on following the tables."""
        while True:
            try:
                for space in list(self._spaces.values()):
                    await space.gallery.tend()
                    await space.measure()
                vital.well()
            except OUTAGES as error:
                vital.ailing(str(error))
            await asyncio.sleep(every_s)

    async def _attend(self, space: Space) -> None:
        if self.follows:
            await space.follow()
        if time.monotonic() - self._asked_at[space.model_digest] > IDLE_S:
            del self._spaces[space.model_digest]
            await space.close()
