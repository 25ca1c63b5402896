"""The anomaly service as an app: a worker on clips.v1, /v1/score, and jobs that train."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from services.anomaly import api
from services.anomaly.lookout import Lookout
from services.anomaly.scorer import Scorer
from services.anomaly.tables import JobRow
from services.anomaly.tuning import CAMERA_TRAIN, why_not_here
from services.anomaly.worker import ScoringWorker
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
from shared.jobs import JobKind, JobQueue
from shared.messages import ClipReady
from shared.model_store import ModelStore
from shared.rack import ModelRack, RackSettings
from shared.service import create_service
from shared.topics import CLIPS, Group

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from fastapi import FastAPI

    from services.anomaly.scorer import ClipErrors, View
    from services.anomaly.settings import AnomalySettings
    from shared.health import Health
    from shared.rack import Loaded
    from shared.service import Tasks


MIGRATIONS = Path(__file__).parent / "migrations"

KINDS: dict[str, JobKind] = {"camera.train": CAMERA_TRAIN}


def create_app(settings: AnomalySettings) -> FastAPI:
    """The anomaly service. Nothing is connected or loaded before it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI, health: Health) -> AsyncIterator[Tasks]:
        cv2.setNumThreads(1)
        bus = Bus(settings.bus_url, settings.frames_url, settings.bus_partitions)
        rack = ModelRack(
            "anomaly",
            ModelStore(*settings.model_folders),
            bus,
            Scorer,
            _rack(settings),
            health.vital("model"),
        )
        async with Batcher(_score, _policy(settings)) as score:
            app.state.keys = KeyDirectory(bus.redis)
            app.state.rack, app.state.score = rack, score
            app.state.limits = ImageLimits(max_bytes=settings.frame_max_bytes)
            tasks: Tasks = {"model": rack.watch}
            if "score" in settings.anomaly_roles:
                lookout = Lookout(bus, settings.tampering)
                worker = ScoringWorker(bus, FolderBlobs(settings.blobs), rack, score, lookout)
                tasks["clips"] = _consumer(settings, bus, worker, health).run
            database = Database(settings.database_of("anomaly"))
            app.state.jobs = why_not_here(settings.anomaly_roles)
            if not app.state.jobs:
                app.state.jobs = JobQueue("anomaly", database, JobRow, bus, KINDS)
                tasks |= _training(database, bus, health)
            try:
                yield tasks
            finally:
                await bus.close()
                await database.close()

    return create_service(
        "anomaly", settings, routers=[api.router, jobs_api.router], lifespan=lifespan
    )


def _consumer(
    settings: AnomalySettings, bus: Bus, worker: ScoringWorker, health: Health
) -> Consumer[ClipReady]:
    return Consumer(
        bus,
        CLIPS,
        Group.ANOMALY,
        ClipReady,
        worker.handle,
        worker.bury,
        health.vital("clips"),
        # As many clips in hand as the lanes' batches hold: fewer would never fill one.
        slots=settings.inference_lanes * settings.batch_size + settings.clips_ahead,
        owed=True,
    )


async def work(settings: AnomalySettings, job_id: str, epoch: int) -> None:
    """Does one job, in the process that the service has started for it."""
    url = settings.database_of("anomaly")
    await do_job(url, JobRow, KINDS, settings.jobs_folder, job_id, epoch)


def _training(database: Database, bus: Bus, health: Health) -> Tasks:
    worker = JobWorker("anomaly", database, JobRow, bus, health.vital("jobs"))
    return {
        "schema": lambda: watch_schema(database, MIGRATIONS, health.vital("schema")),
        "jobs": worker.run,
    }


def _rack(settings: AnomalySettings) -> RackSettings:
    return RackSettings(
        default=settings.anomaly_model,
        provider=settings.inference_provider,
        precision=settings.inference_precision,
        lanes=settings.inference_lanes,
        threads=settings.inference_threads,
    )


def _policy(settings: AnomalySettings) -> BatchPolicy:
    return BatchPolicy(
        max_batch=settings.batch_size,
        max_wait_s=settings.batch_wait_s,
        max_queue=settings.max_queue,
        lanes=settings.inference_lanes,
    )


def _score(loaded: Loaded[Scorer], views: Sequence[View]) -> list[ClipErrors]:
    """One forward pass, in the batcher's thread. Batches are keyed by the model in memory."""
    return loaded.runtime.score_batch(views, with_reconstruction=True)
