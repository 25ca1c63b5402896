"""sightings.v1 -> sightings of persons in the database -> events.v1"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from services.gateway.store import accounts, resources
from services.gateway.store.alerts import tell
from services.gateway.store.tables import CameraRow, PeopleOutcomeRow, SightingRow
from shared.bus import Settlement
from shared.clock import now_us
from shared.messages import Outcome, PersonsSighted
from shared.topics import Group

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from shared.bus import Delivery
    from shared.database import Database
    from shared.messages import Sighting
    from shared.outbox import Relay

log = structlog.get_logger(__name__)


class PeopleComposer:
    """Takes in what the gallery says of each camera's clips, each clip once."""

    def __init__(self, database: Database, relay: Relay) -> None:
        self._database = database
        self._relay = relay

    async def handle(self, message: PersonsSighted, _: Delivery) -> Settlement:
        async with self._database.writing() as session:
            camera = await session.get(CameraRow, message.camera_id)
            if camera is not None and camera.deleted_us is None:
                await self._take(session, message)
        self._relay.wake()
        return Settlement()

    async def bury(self, message: PersonsSighted, delivery: Delivery, fault: str) -> Settlement:
        log.error("sightings_buried", clip=message.clip_id, fault=fault, entry=delivery.entry_id)
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
        for sighting in message.sightings:
            row = _row(message.camera_id, sighting)
            session.add(row)
            data = resources.SightingResource.of(row).model_dump(mode="json")
            tell(session, "person.sighted", message.camera_id, now_us(), data)


def _row(camera_id: str, sighting: Sighting) -> SightingRow:
    times = [detection.captured_us for detection in sighting.detections]
    return SightingRow(
        id=sighting.sighting_id,
        person_id=sighting.person_id,
        camera_id=camera_id,
        start_us=min(times),
        end_us=max(times),
        confidence=sighting.confidence,
        quality=sighting.quality,
        crop=sighting.crop,
        boxes=[
            [d.captured_us, d.box.x, d.box.y, d.box.width, d.box.height]
            for d in sighting.detections
        ],
    )
