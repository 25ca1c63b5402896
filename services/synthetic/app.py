"""The synthetic service as an app: REST for its jobs, and the worker that starts them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from services.synthetic.api import datasets, generations, systems, trainings
from services.synthetic.generating import IMAGES_GENERATE
from services.synthetic.learning import STYLE_LEARN, SYSTEM_TRAIN, why_not_here
from services.synthetic.rendering import CITY_RENDER
from services.synthetic.shelf import Shelf
from services.synthetic.sweeping import Sweeper
from services.synthetic.tables import JobRow
from shared import jobs_api
from shared.auth import KeyDirectory
from shared.bus import Bus
from shared.database import Database, watch_schema
from shared.job_process import do_job
from shared.job_worker import JobWorker
from shared.jobs import JobKind, JobQueue
from shared.service import create_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI

    from services.synthetic.settings import SyntheticSettings
    from shared.health import Health
    from shared.service import Tasks

MIGRATIONS = Path(__file__).parent / "migrations"

KINDS: dict[str, JobKind] = {
    "city.render": CITY_RENDER,
    "system.train": SYSTEM_TRAIN,
    "style.learn": STYLE_LEARN,
    "images.generate": IMAGES_GENERATE,
}
WITHOUT_TORCH = frozenset({"city.render"})

ROUTERS = [
    jobs_api.router,
    systems.router,
    datasets.router,
    trainings.router,
    generations.router,
]


def create_app(settings: SyntheticSettings) -> FastAPI:
    """The synthetic service. Nothing is connected before it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI, health: Health) -> AsyncIterator[Tasks]:
        bus = Bus(settings.bus_url, settings.frames_url, settings.bus_partitions)
        database = Database(settings.database_of("synthetic"))
        app.state.keys = KeyDirectory(bus.redis)
        app.state.settings, app.state.why_not_here = settings, why_not_here()
        here = kinds_here()
        app.state.jobs = JobQueue("synthetic", database, JobRow, bus, here)
        # Beside it there may be a process that can do more, on the same database.
        worker = JobWorker("synthetic", database, JobRow, bus, health.vital("jobs"), kinds=here)
        shelf = Shelf(settings.datasets_folder)
        sweeper = Sweeper(shelf, settings.jobs_folder, database)
        try:
            yield {
                "schema": lambda: watch_schema(database, MIGRATIONS, health.vital("schema")),
                "jobs": worker.run,
                "sweeper": lambda: sweeper.run(health.vital("sweeper")),
            }
        finally:
            await bus.close()
            await database.close()

    return create_service(
        "synthetic",
        settings,
        routers=ROUTERS,
        lifespan=lifespan,
        max_body_bytes=settings.dataset_max_bytes,
    )


def kinds_here() -> dict[str, JobKind]:
    """What this installation can do."""
    without = why_not_here() != ""
    return {name: kind for name, kind in KINDS.items() if not without or name in WITHOUT_TORCH}


async def work(settings: SyntheticSettings, job_id: str, epoch: int) -> None:
    """Does one job, in the process that the worker has started for it."""
    url = settings.database_of("synthetic")
    await do_job(url, JobRow, KINDS, settings.jobs_folder, job_id, epoch)
