"""The gateway as an app: its routes, and the tasks that run beside them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from services.gateway.api import (
    adaptations,
    alerts,
    backtests,
    baselines,
    cameras,
    events,
    frames,
    keys,
    page,
    person_changes,
    persons,
    system,
    trainings,
)
from services.gateway.city import City
from services.gateway.setup import MIGRATIONS
from shared.auth import KeyDirectory
from shared.database import watch_schema
from shared.patience import OUTAGES
from shared.service import create_service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI

    from services.gateway.settings import GatewaySettings
    from shared.health import Health, Vital
    from shared.service import Tasks

KEYS_EVERY_S = 2.0


def create_app(settings: GatewaySettings) -> FastAPI:
    """The gateway. Nothing is connected before it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI, health: Health) -> AsyncIterator[Tasks]:
        city = City.build(settings, health)
        app.state.city = city
        app.state.keys = KeyDirectory(city.bus.redis)
        try:
            yield {
                "schema": lambda: watch_schema(city.database, MIGRATIONS, health.vital("schema")),
                "keys": lambda: _project_keys(city, health.vital("keys")),
                **city.tasks(),
            }
        finally:
            await city.close()

    nouns = (
        cameras,
        baselines,
        trainings,
        adaptations,
        backtests,
        frames,
        alerts,
        persons,
        person_changes,
        events,
        keys,
        system,
    )
    app = create_service(
        "gateway",
        settings,
        routers=[noun.router for noun in nouns],
        lifespan=lifespan,
        max_body_bytes=settings.body_max_bytes,
    )
    app.add_route("/", page.get_page, include_in_schema=False)
    app.mount("/page", page.PageFiles(), name="page")
    return app


async def _project_keys(city: City, vital: Vital) -> None:
    """Keeps Redis supplied with the keys, whenever it has lost them."""
    while True:
        try:
            await city.keys.project()
            vital.well()
        except OUTAGES as error:
            vital.ailing(str(error))
        await asyncio.sleep(KEYS_EVERY_S)
