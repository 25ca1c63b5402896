"""A gateway in this process, on a real Redis and a real database."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest

from services.gateway.app import create_app
from services.gateway.city import City
from services.gateway.settings import GatewaySettings
from services.gateway.setup import MIGRATIONS, first_admin_key
from shared.database import migrate_once


@dataclass
class Gateway:
    """A running gateway: its parts, and an admin's client."""

    city: City
    api: httpx.AsyncClient
    settings: GatewaySettings

    async def key(self, *scopes: str, cameras: list[str] | None = None) -> dict[str, str]:
        """Headers with a fresh key."""
        _, key = await self.city.keys.issue("test", scopes, cameras=cameras)
        return {"X-API-Key": key.secret}

    async def add_camera(self, camera_id: str = "gate", **columns) -> None:
        body = {"id": camera_id, "name": camera_id, **columns}
        response = await self.api.post("/v1/cameras", json=body)
        assert response.status_code == 201, response.text

    async def until(self, path: str, found, timeout_s: float = 30, **query):
        """The answer of a GET as soon as `found(answer)` is true."""
        deadline = time.monotonic() + timeout_s
        while True:
            answer = (await self.api.get(path, params=query)).json()
            if found(answer):
                return answer
            assert time.monotonic() < deadline, answer
            await asyncio.sleep(0.05)


@asynccontextmanager
async def running_gateway(redis_url, folder, **changes):
    values = {
        "bus_url": redis_url,
        "citybrain_home": folder,
        "models_folder": folder / "models",
        "database_url": "",
        **changes,
    }
    settings = GatewaySettings(**values)
    await migrate_once(settings.database_of("gateway"), MIGRATIONS)
    secret = await first_admin_key(settings)
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        headers = {"X-API-Key": secret or ""}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://gateway", headers=headers
        ) as api:
            yield Gateway(app.state.city, api, settings)


@pytest.fixture
def start_gateway(redis_server, bus, tmp_path):
    """Starts a gateway with settings of one's own; `bus` has emptied Redis before."""

    def start(**changes):
        return running_gateway(redis_server.url, tmp_path, **changes)

    return start


@pytest.fixture
async def gateway(start_gateway):
    async with start_gateway() as running:
        yield running
