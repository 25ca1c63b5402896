"""Messages of a replay -> the gallery's own writer, on a database of its own -> who they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select

from services.reid.gallery.faiss_gallery import FaissGallery
from services.reid.gallery.revisions import WRITER
from services.reid.gallery.schema import MIGRATIONS
from services.reid.gallery.spaces import Spaces
from services.reid.gallery.tables import How, LeaseRow, OriginRow, OutboxRow, TrackletRow
from services.reid.gallery.worker import GalleryWriter
from shared.bus import Bus, Delivery
from shared.database import Database, migrate_once
from shared.health import Health
from shared.leases import Lease
from shared.outbox import Relay
from shared.topics import SIGHTINGS, TRACKLETS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from services.reid.core.identity import IdentitySettings
    from shared.messages import TrackletsEmbedded
    from shared.model_store import ModelStore

NO_BUS = "redis://localhost"
"""The writer only tells its relay that there is something to publish; nothing is, so that nobody
connects."""


class Given(NamedTuple):
    """What the gallery made of a tracklet."""

    name: str
    track_id: str
    person_id: str | None
    confidence: float
    how: How


async def replayed(
    messages: Iterable[TrackletsEmbedded],
    store: ModelStore,
    settings: IdentitySettings,
    folder: Path,
) -> dict[str, Given]:
    """Every tracklet by its name. folder: an empty one, for database and gallery."""
    url = f"sqlite+aiosqlite:///{folder}/reid.db"
    await migrate_once(url, MIGRATIONS)
    database = Database(url)
    try:
        writer = await _writer(database, store, settings, folder)
        for message in messages:
            entry = Delivery(TRACKLETS, 0, message.clip_entry, message.TYPE, b"", "")
            await writer.handle(message, entry)
        async with database.reading() as session:
            rows = list(await session.scalars(select(TrackletRow).order_by(TrackletRow.id)))
    finally:
        await database.close()
    return {
        row.name: Given(row.name, row.track_id, row.person_id, row.confidence, How(row.how))
        for row in rows
    }


async def _writer(
    database: Database, store: ModelStore, settings: IdentitySettings, folder: Path
) -> GalleryWriter:
    health = Health()
    spaces = Spaces(
        database,
        lambda digest: FaissGallery(folder, digest),
        health.vital("spaces"),
        shared=False,
    )
    relay = Relay(
        database,
        Bus(NO_BUS),
        SIGHTINGS,
        outbox=OutboxRow,
        origin=OriginRow,
        vital=health.vital("relay"),
    )
    async with database.writing() as session:
        session.add(LeaseRow(name=WRITER, holder="replay", epoch=1, expires_us=0))
    writer = GalleryWriter(database, spaces, store, relay, 1, settings)
    writer.take_over(Lease(LeaseRow, WRITER, 1))
    return writer
