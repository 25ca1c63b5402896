"""sightings.v1 -> sightings of persons in the database -> events.v1"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from services.gateway.store import accounts, persons, resources
from services.gateway.store.alerts import tell
from services.gateway.store.people_tables import PeopleOutcomeRow
from services.gateway.store.tables import CameraRow
from shared.bus import Settlement
from shared.clock import now_us
from shared.messages import Outcome, PersonsRevised, PersonsSighted
from shared.topics import Group

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from shared.bus import Delivery
    from shared.database import Database
    from shared.outbox import Relay

log = structlog.get_logger(__name__)


class PeopleComposer:
    """Takes in what the gallery says of each camera's clips, each clip once, and what it says anew
    of sightings and persons, whichever comes first."""

    def __init__(self, database: Database, relay: Relay) -> None:
        self._database = database
        self._relay = relay

    async def handle(self, message: PersonsSighted | PersonsRevised, _: Delivery) -> Settlement:
        async with self._database.writing() as session:
            # Whoever speaks of a camera's people waits for their turn.
            camera = await session.get(CameraRow, message.camera_id or "", with_for_update=True)
            is_watched = camera is not None and camera.deleted_us is None
            if isinstance(message, PersonsRevised):
                await self._revise(session, message, is_watched=is_watched)
            elif is_watched:
                await self._take(session, message)
        self._relay.wake()
        return Settlement()

    async def bury(
        self, message: PersonsSighted | PersonsRevised, delivery: Delivery, fault: str
    ) -> Settlement:
        kind = type(message).__name__
        log.error("people_buried", kind=kind, fault=fault, entry=delivery.entry_id)
        return Settlement()

    async def _take(self, session: AsyncSession, message: PersonsSighted) -> None:
        key = (message.camera_id, message.born, message.seq)
        before = await session.get(PeopleOutcomeRow, key)
        if before is None:
            session.add(
                PeopleOutcomeRow(
                    camera_id=key[0], born=key[1], seq=key[2], outcome=message.outcome.value
                )
            )
        elif message.replayed and before.outcome == Outcome.DEAD:
            before.outcome = message.outcome.value
        else:
            return
        await accounts.count(session, self._database, message, Group.REID)
        settled = await persons.settled(session, message.sightings)
        for sighting in message.sightings:
            if sighting.sighting_id in settled:
                continue
            row = persons.row_of(message.camera_id, sighting)
            session.add(row)
            data = resources.SightingResource.of(row).model_dump(mode="json")
            tell(session, "person.sighted", message.camera_id, now_us(), data)

    async def _revise(
        self, session: AsyncSession, message: PersonsRevised, *, is_watched: bool
    ) -> None:
        concerned = await persons.revise(session, message, is_watched=is_watched)
        concerned |= await persons.forget(session, message.forgotten, now_us())
        concerned |= await persons.note_merged(session, self._database, message)
        if concerned:
            data = {"person_ids": sorted(concerned), "merged": message.merged}
            tell(session, "person.revised", message.camera_id, now_us(), data)
