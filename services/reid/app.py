"""The re-ID service as an app: embedding workers, the gallery's writer, and their REST."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
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
    from shared.leases import Lease
    from shared.rack import Loaded
    from shared.service import Tasks


def create_app(settings: ReidSettings) -> FastAPI:
    """The re-ID service. Nothing is connected or loaded before it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI, health: Health) -> AsyncIterator[Tasks]:
        cv2.setNumThreads(1)
        bus = Bus(settings.bus_url, settings.frames_url, settings.bus_partitions)
        database = Database(settings.database_of("reid"))
        store = ModelStore(*settings.model_folders)
        rack = ModelRack("reid", store, bus, Embedder, _rack(settings), health.vital("model"))
        blobs = FolderBlobs(settings.blobs)
        policy = BatchPolicy(max_queue=settings.max_queue, lanes=settings.inference_lanes)
        async with Batcher(_embed, policy) as embed, _spaces(settings, database, health) as spaces:
            herald = Herald(settings.bus_partitions)
            forgetting = Forgetting(database, blobs, herald)
            reindexing = Reindexing(database, blobs, bus, rack, embed, spaces)
            app.state.keys = KeyDirectory(bus.redis)
            app.state.rack, app.state.embed, app.state.spaces = rack, embed, spaces
            app.state.forgetting, app.state.reindexing = forgetting, reindexing
            regrouping = Regrouping(database, herald)
            app.state.persons = persons.Persons(database, regrouping, forgetting)
            app.state.limits = ImageLimits(max_bytes=settings.frame_max_bytes)
            tasks: Tasks = {
                "schema": lambda: watch_schema(database, MIGRATIONS, health.vital("schema")),
                "model": rack.watch,
                "spaces": spaces.run,
                "recall": lambda: spaces.tend(health.vital("recall")),
            }
            if "embed" in settings.reid_roles:
                worker = EmbeddingWorker(
                    bus,
                    blobs,
                    rack,
                    embed,
                    open_detector(settings.reid_detector, model=settings.detector_model),
                    settings.detect_every,
                )
                tasks["clips"] = Consumer(
                    bus,
                    CLIPS,
                    Group.REID,
                    ClipReady,
                    worker.handle,
                    worker.bury,
                    health.vital("clips"),
                    slots=settings.inference_lanes,
                    owed=True,
                ).run
            if "gallery" in settings.reid_roles:
                tasks["forgotten"] = lambda: forgetting.watch(health.vital("forgotten"))
                tasks |= _gallery_tasks(settings, bus, database, spaces, store, reindexing, health)
            app.state.jobs = why_not_here(settings.reid_roles)
            if not app.state.jobs:
                app.state.jobs = JobQueue("reid", database, JobRow, bus, KINDS)
                vital = health.vital("jobs")
                tasks["jobs"] = JobWorker("reid", database, JobRow, bus, vital).run
            try:
                yield tasks
            finally:
                await bus.close()
                await database.close()

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


def _gallery_tasks(
    settings: ReidSettings,
    bus: Bus,
    database: Database,
    spaces: Spaces,
    store: ModelStore,
    reindexing: Reindexing,
    health: Health,
) -> Tasks:
    """The writer and its relay, each under its lease: a second process stands by."""
    relay = Relay(
        database, bus, SIGHTINGS, outbox=OutboxRow, origin=OriginRow, vital=health.vital("relay")
    )
    identity = IdentitySettings(min_belief=settings.min_belief, min_quality=settings.min_quality)
    writer = GalleryWriter(database, spaces, store, relay, settings.bus_partitions, identity)
    consumer = Consumer(
        bus,
        TRACKLETS,
        Group.GALLERY,
        TrackletsEmbedded,
        writer.handle,
        writer.bury,
        health.vital("gallery"),
        slots=1,
    )

    async def write(lease: Lease) -> None:
        writer.take_over(lease)
        spaces.lead(leads=True)
        tasks = [
            asyncio.ensure_future(work)
            for work in (consumer.run(), writer.watch_gaps(), reindexing.run(lease))
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            spaces.lead(leads=False)
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end

    def lead(name: str) -> Leadership:
        return Leadership(database, LeaseRow, name, health.vital(name))

    return {
        "gallery": lambda: lead("gallery").run(write),
        "relay": lambda: lead("relay").run(relay.run),
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
