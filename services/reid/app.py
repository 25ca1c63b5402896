"""The re-ID service as an app: embedding workers, the gallery's writer, and their REST."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2

from services.reid.api import embeddings, gallery, persons, reindexes, tracklets
from services.reid.core.identity import IdentitySettings
from services.reid.detectors.registry import open_detector
from services.reid.embedder import Embedder
from services.reid.gallery.announcing import Herald
from services.reid.gallery.codes import load_coder
from services.reid.gallery.faiss_gallery import FaissGallery
from services.reid.gallery.forgetting import Forgetting
from services.reid.gallery.leading import Leader
from services.reid.gallery.regrouping import Regrouping
from services.reid.gallery.reindexing import Reindexing
from services.reid.gallery.schema import MIGRATIONS
from services.reid.gallery.spaces import Spaces
from services.reid.gallery.tables import JobRow, LeaseRow, OriginRow, OutboxRow
from services.reid.gallery.worker import GalleryWriter
from services.reid.retraining import KINDS, why_not_here
from services.reid.worker import EmbeddingWorker
from shared import jobs_api
from shared.auth import KeyDirectory
from shared.batching import Batcher, BatchPolicy
from shared.blobs import FolderBlobs
from shared.bus import Bus
from shared.consumer import Consumer
from shared.database import Database, watch_schema
from shared.images import ImageLimits
from shared.job_process import do_job
from shared.job_worker import JobWorker
from shared.jobs import JobQueue
from shared.leases import Leadership
from shared.messages import ClipReady, TrackletsEmbedded
from shared.model_store import ModelStore
from shared.outbox import Relay
from shared.rack import ModelRack, RackSettings
from shared.service import create_service
from shared.topics import CLIPS, SIGHTINGS, TRACKLETS, Group

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from fastapi import FastAPI

    from services.reid.gallery.gallery import Gallery
    from services.reid.settings import ReidSettings
    from shared.health import Health
    from shared.images import Pixels
    from shared.inference import Array
    from shared.rack import Loaded
    from shared.service import Tasks


@dataclass(frozen=True)
class _Parts:
    """What the service rests on."""

    settings: ReidSettings
    health: Health
    bus: Bus
    database: Database
    blobs: FolderBlobs
    store: ModelStore
    rack: ModelRack[Embedder]
    embed: Batcher[Loaded[Embedder], Sequence[Pixels], Array]
    spaces: Spaces
    forgetting: Forgetting
    reindexing: Reindexing


def create_app(settings: ReidSettings) -> FastAPI:
    """The re-ID service. Nothing is connected or loaded before it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI, health: Health) -> AsyncIterator[Tasks]:
        cv2.setNumThreads(1)
        async with _parts(settings, health) as parts:
            _show(app, parts)
            tasks: Tasks = {
                "schema": lambda: watch_schema(parts.database, MIGRATIONS, health.vital("schema")),
                "model": parts.rack.watch,
                "spaces": parts.spaces.run,
                "recall": lambda: parts.spaces.tend(health.vital("recall")),
            }
            if "embed" in settings.reid_roles:
                tasks["clips"] = _clips(parts).run
            if "gallery" in settings.reid_roles:
                tasks |= _gallery_tasks(parts)
            if isinstance(app.state.jobs, JobQueue):
                vital = health.vital("jobs")
                tasks["jobs"] = JobWorker("reid", parts.database, JobRow, parts.bus, vital).run
            yield tasks

    routers = [
        embeddings.router,
        gallery.router,
        tracklets.router,
        reindexes.router,
        persons.router,
        jobs_api.router,
    ]
    return create_service("reid", settings, routers=routers, lifespan=lifespan)


async def work(settings: ReidSettings, job_id: str, epoch: int) -> None:
    """Does one job, in the process that the service has started for it."""
    url = settings.database_of("reid")
    await do_job(url, JobRow, KINDS, settings.jobs_folder, job_id, epoch)


@asynccontextmanager
async def _parts(settings: ReidSettings, health: Health) -> AsyncIterator[_Parts]:
    bus = Bus(settings.bus_url, settings.frames_url, settings.bus_partitions)
    database = Database(settings.database_of("reid"))
    blobs = FolderBlobs(settings.blobs)
    store = ModelStore(*settings.model_folders)
    rack = ModelRack("reid", store, bus, Embedder, _rack(settings), health.vital("model"))
    policy = BatchPolicy(max_queue=settings.max_queue, lanes=settings.inference_lanes)
    async with Batcher(_embed, policy) as embed, _spaces(settings, database, health) as spaces:
        try:
            yield _Parts(
                settings,
                health,
                bus,
                database,
                blobs,
                store,
                rack,
                embed,
                spaces,
                Forgetting(database, blobs, Herald(settings.bus_partitions)),
                Reindexing(database, blobs, bus, rack, embed, spaces),
            )
        finally:
            await bus.close()
            await database.close()


def _show(app: FastAPI, parts: _Parts) -> None:
    """Puts what routes ask for on the app."""
    settings, database = parts.settings, parts.database
    app.state.keys = KeyDirectory(parts.bus.redis)
    app.state.rack, app.state.embed, app.state.spaces = parts.rack, parts.embed, parts.spaces
    app.state.forgetting, app.state.reindexing = parts.forgetting, parts.reindexing
    regrouping = Regrouping(database, Herald(settings.bus_partitions))
    app.state.persons = persons.Persons(database, regrouping, parts.forgetting)
    app.state.limits = ImageLimits(max_bytes=settings.frame_max_bytes)
    why_not = why_not_here(settings.reid_roles)
    app.state.jobs = why_not or JobQueue("reid", database, JobRow, parts.bus, KINDS)


def _clips(parts: _Parts) -> Consumer[ClipReady]:
    settings = parts.settings
    detector = open_detector(settings.reid_detector, model=settings.detector_model)
    worker = EmbeddingWorker(
        parts.bus, parts.blobs, parts.rack, parts.embed, detector, settings.detect_every
    )
    return Consumer(
        parts.bus,
        CLIPS,
        Group.REID,
        ClipReady,
        worker.handle,
        worker.bury,
        parts.health.vital("clips"),
        slots=settings.inference_lanes,
        owed=True,
    )


def _gallery_tasks(parts: _Parts) -> Tasks:
    """The writer and its relay, each under its lease: a second process stands by."""
    settings, bus, database = parts.settings, parts.bus, parts.database
    vital = parts.health.vital
    relay = Relay(
        database, bus, SIGHTINGS, outbox=OutboxRow, origin=OriginRow, vital=vital("relay")
    )
    identity = IdentitySettings(min_belief=settings.min_belief, min_quality=settings.min_quality)
    writer = GalleryWriter(
        database, parts.spaces, parts.store, relay, settings.bus_partitions, identity
    )
    consumer = Consumer(
        bus,
        TRACKLETS,
        Group.GALLERY,
        TrackletsEmbedded,
        writer.handle,
        writer.bury,
        vital("gallery"),
        slots=1,
    )
    leader = Leader(writer, consumer, parts.reindexing, parts.spaces)

    def elect(name: str) -> Leadership:
        return Leadership(database, LeaseRow, name, vital(name))

    return {
        "forgotten": lambda: parts.forgetting.watch(vital("forgotten")),
        "gallery": lambda: elect("gallery").run(leader.lead),
        "relay": lambda: elect("relay").run(relay.run),
    }


@asynccontextmanager
async def _spaces(
    settings: ReidSettings, database: Database, health: Health
) -> AsyncIterator[Spaces]:
    """In this process's memory, or on a Qdrant cluster that all processes share."""
    vital = health.vital("spaces")
    async with AsyncExitStack() as closing:
        if not settings.qdrant_url:
            folder = settings.citybrain_home / "gallery"

            def make_here(digest: str) -> Gallery:
                return FaissGallery(folder, digest, load_coder(folder, digest))

            yield Spaces(database, make_here, vital, shared=False)
            return
        # An extra: who keeps the gallery in memory need not have it.
        from qdrant_client import AsyncQdrantClient

        from services.reid.gallery.qdrant_gallery import QdrantGallery

        key = settings.qdrant_api_key or None
        client = AsyncQdrantClient(url=settings.qdrant_url, api_key=key)
        closing.push_async_callback(client.close)

        def make(digest: str) -> Gallery:
            return QdrantGallery(
                client, digest, shards=settings.qdrant_shards, replicas=settings.qdrant_replicas
            )

        yield Spaces(database, make, vital, shared=True)


def _rack(settings: ReidSettings) -> RackSettings:
    return RackSettings(
        default=settings.reid_model,
        provider=settings.inference_provider,
        precision=settings.inference_precision,
        lanes=settings.inference_lanes,
        threads=settings.inference_threads,
    )


def _embed(loaded: Loaded[Embedder], clips: Sequence[Sequence[Pixels]]) -> list[Array]:
    """The vectors of each clip's crops, in the batcher's thread."""
    return [loaded.runtime.embed(crops) for crops in clips]
