"""Routers and background tasks -> a service: health, readiness, metrics, problems, traces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import metadata
from typing import TYPE_CHECKING, Any

import structlog
import uvicorn
from fastapi import Depends, FastAPI, Response
from prometheus_fastapi_instrumentator import Instrumentator
from pydantic import BaseModel

from shared.health import Health
from shared.problems import install_problems
from shared.requests import BodyLimit, RequestContext, refuse_unknown_query
from shared.telemetry import configure_logging, start_tracing

if TYPE_CHECKING:
    from fastapi import APIRouter

    from shared.health import Vital
    from shared.settings import FloorSettings

log = structlog.get_logger(__name__)

Task = Callable[[], Awaitable[None]]
Tasks = dict[str, Task]

KEEP_ALIVE_S = 75
"""How long a connection may idle. Longer than clients and the load balancer keep theirs (httpx 5 s,
HAProxy 60): whoever ends it first never sends a request into one that the other side is ending."""

LIVENESS_PATHS = ["/livez", "/readyz", "/metrics", "/version"]


class Readiness(BaseModel):
    """Whether the service can do its work now, and what keeps it from it."""

    ready: bool
    reasons: dict[str, str]


class Version(BaseModel):
    service: str
    version: str
    instance: str


def create_service(
    name: str,
    settings: FloorSettings,
    *,
    routers: list[APIRouter],
    lifespan: Callable[[FastAPI, Health], AbstractAsyncContextManager[Tasks]],
    max_body_bytes: int = 64 * 1024 * 1024,
) -> FastAPI:
    """The app of a service.

    lifespan: opens what the service rests on, puts it on `app.state`, yields its background tasks
    by name, and closes it again. It must not wait for Redis or the database: tasks do that. A task
    that dies makes the service unready and is started again; its vital is well once it says so.
    """
    health = Health()

    @asynccontextmanager
    async def live(app: FastAPI) -> AsyncIterator[None]:
        async with lifespan(app, health) as tasks:
            running = [
                asyncio.create_task(_keep_alive(task, health.vital(task_name)))
                for task_name, task in tasks.items()
            ]
            try:
                yield
            finally:
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)

    app = FastAPI(
        title=f"CityBrain {name}",
        version=metadata.version("citybrain"),
        lifespan=live,
        dependencies=[Depends(refuse_unknown_query)],
    )
    app.state.health = health
    install_problems(app)
    app.add_middleware(BodyLimit, max_bytes=max_body_bytes)
    app.add_middleware(RequestContext, service=name)
    Instrumentator(excluded_handlers=LIVENESS_PATHS).instrument(app).expose(
        app, include_in_schema=False
    )
    _add_vital_routes(app, name, health, settings.instance)
    for router in routers:
        app.include_router(router)
    return app


async def _keep_alive(task: Task, vital: Vital) -> None:
    """Runs a task for ever: its death is logged, told, and mended after a pause."""
    pause_s = 0.5
    while True:
        try:
            await task()
            vital.ailing("ended")
        except (asyncio.CancelledError, Exception) as error:
            # A future that somebody else has cancelled raises the same here as our own end does.
            told_to_stop = (current := asyncio.current_task()) is not None and current.cancelling()
            if told_to_stop and isinstance(error, asyncio.CancelledError):
                raise
            log.exception("task_died", task=vital.name)
            vital.ailing(f"died: {type(error).__name__}: {error}")
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, 10.0)


def _add_vital_routes(app: FastAPI, name: str, health: Health, instance: str) -> None:
    @app.get("/livez", tags=["vitals"])
    async def livez() -> dict[str, str]:
        """The process is alive and its event loop turns."""
        return {"status": "alive"}

    @app.get("/readyz", tags=["vitals"], responses={503: {"model": Readiness}})
    async def readyz(response: Response) -> Readiness:
        """Whether the service can do its work; 503 with the reasons where it cannot."""
        if not health.is_ready:
            response.status_code = 503
        return Readiness(ready=health.is_ready, reasons=health.reasons)

    @app.get("/version", tags=["vitals"])
    async def version() -> Version:
        return Version(service=name, version=metadata.version("citybrain"), instance=instance)


def serve(name: str, settings: FloorSettings, app: FastAPI) -> None:
    """Runs a service until it is told to stop (SIGTERM, SIGINT)."""
    configure_logging(name, level=settings.log_level, as_json=settings.log_json)
    start_tracing(name, settings.otel_exporter_otlp_endpoint or None)
    config: dict[str, Any] = {"log_config": None, "access_log": False}
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=5,
        **config,
    )
