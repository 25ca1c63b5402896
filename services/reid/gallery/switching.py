"""A model that is to serve -> its space filled and verified by the gallery's writer, then switched
to; or why not.

A job's process only asks and watches: whoever holds the gallery's lease does it. So a switch is
never a bare activation, under which the gallery would search in a space that is nearly empty.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import update

from services.reid.gallery.reindexing import State, ask_for
from services.reid.gallery.tables import ReindexRow
from services.reid.settings import ReidSettings
from shared.bus import Bus
from shared.database import Database
from shared.model_store import ActivationMap, ModelStore
from shared.patience import OUTAGES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.reid.retraining import SwitchParams
    from shared.jobs import JobContext
    from shared.model_store import StoredModel

log = structlog.get_logger(__name__)

LOOKS_EVERY_S = 0.5


def serving_model(settings: ReidSettings) -> str:
    """The name of that which serves all cameras. Raises RedisError."""

    async def ask() -> str:
        async with _parts(settings) as (bus, _):
            return await _serving(bus, settings)

    return asyncio.run(ask())


def switch_to(
    model: StoredModel, settings: ReidSettings, context: JobContext, *, instead_of: str
) -> str:
    """Returns when the model serves all cameras, with an empty string, or says why it does not.

    instead_of: the model that it was found better than. Where a third one serves meanwhile, that
    one stays. Raises JobCancelled: the space is filled then all the same, but not switched to.
    """

    async def ask() -> str:
        async with _parts(settings) as (bus, database):
            switching = _Switching(model, instead_of, bus, database, settings, context)
            try:
                return await switching.run()
            finally:
                await switching.withdraw()

    return asyncio.run(ask())


def switch(params: SwitchParams, context: JobContext) -> dict[str, Any]:
    """The job reid.switch: to whichever model is named, from whichever serves.

    Raises Missing (`unknown_model`) or Corrupt.
    """
    settings = ReidSettings()
    model = ModelStore(*settings.model_folders).load(params.model)
    before = serving_model(settings)
    why_not = switch_to(model, settings, context, instead_of=before)
    after = before if why_not else params.model
    return {"before": before, "after": after, "why_not": why_not or None}


class _Switching:
    """One switch, as its job sees it."""

    def __init__(
        self,
        model: StoredModel,
        instead_of: str,
        bus: Bus,
        database: Database,
        settings: ReidSettings,
        context: JobContext,
    ) -> None:
        self._name = model.card.name
        self._digest = model.digest
        self._instead_of = instead_of
        self._bus = bus
        self._database = database
        self._settings = settings
        self._context = context
        self._asked = False

    async def run(self) -> str:
        """Patiently: an outage of Redis or of the database is waited out."""
        while True:
            try:
                if (end := await self._look()) is not None:
                    return end
            except OUTAGES as error:
                self._context.note = f"waits: {error}"[:256]
            self._context.checkpoint()
            await asyncio.sleep(LOOKS_EVERY_S)

    async def withdraw(self) -> None:
        """Whatever ends this ends the wish to switch: nobody waits for it any more."""
        model = ReindexRow.model == self._name
        try:
            async with self._database.writing() as session:
                await session.execute(update(ReindexRow).where(model).values(switches=False))
        except OUTAGES as error:
            log.warning("switch_not_withdrawn", model=self._name, error=str(error))

    async def _look(self) -> str | None:
        # The row first: what it says was switched to is served by now, unless it was undone.
        row = await self._row()
        serving = await _serving(self._bus, self._settings)
        if serving not in (self._instead_of, self._name):
            return f"{serving} was activated meanwhile, which it was not compared with"
        if row is not None and row.state == State.SWITCHED and serving == self._name:
            return ""
        if row is None or not self._asked:
            await ask_for(self._database, self._name, self._digest, switches=True)
            self._asked = True
        elif row.state == State.FAILED:
            return str(row.fault)
        elif row.state == State.SWITCHED:
            return f"{serving} was activated again meanwhile"
        elif row.state == State.VERIFIED and not row.switches:
            return "somebody asked meanwhile for its space without a switch"
        else:
            self._context.note = f"the gallery: {row.embedded} tracklets embedded by {self._name}"
        return None

    async def _row(self) -> ReindexRow | None:
        async with self._database.reading() as session:
            return await session.get(ReindexRow, self._name)


async def _serving(bus: Bus, settings: ReidSettings) -> str:
    active = await ActivationMap(bus.redis, "reid").read()
    return ActivationMap.serving(active, ActivationMap.EVERY_CAMERA, settings.reid_model)


@asynccontextmanager
async def _parts(settings: ReidSettings) -> AsyncIterator[tuple[Bus, Database]]:
    bus = Bus(settings.bus_url, settings.frames_url, settings.bus_partitions)
    database = Database(settings.database_of("reid"))
    try:
        yield bus, database
    finally:
        await bus.close()
        await database.close()
