"""Redis away at the start and in mid-run: the gateway says so, waits, and goes on by itself."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import httpx

from services.gateway.app import create_app
from services.gateway.settings import GatewaySettings
from shared.topics import CLIPS
from tests.unit.gateway.conftest import running_gateway
from tests.unit.gateway.test_frames_api import JPEG, picture


async def until_ready(gateway, ready: bool, timeout_s: float = 20) -> dict:
    deadline = time.monotonic() + timeout_s
    while True:
        response = await gateway.api.get("/readyz")
        if (response.status_code == 200) == ready:
            return response.json()
        assert time.monotonic() < deadline, response.text
        await asyncio.sleep(0.1)


async def until_said(gateway, word: str) -> None:
    """Until the reasons for being unready tell what is wrong."""
    deadline = time.monotonic() + 20
    while word not in str((answer := await until_ready(gateway, False))["reasons"]):
        assert time.monotonic() < deadline, answer
        await asyncio.sleep(0.05)


async def push(gateway, n: int):
    return await gateway.api.post(
        "/v1/cameras/gate/frames",
        params={"captured_at": START + n / 5},
        content=picture(n),
        headers=JPEG,
    )


START = time.time() - 60


@asynccontextmanager
async def started(settings, key: str = ""):
    """A gateway that nobody has made ready."""
    app = create_app(settings)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    headers = {"X-API-Key": key}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as api,
    ):
        yield api


async def until_written(redis):
    """Redis answers before it writes while the disk is slow to sync: `everysec` may lose a second
    or two of what it has answered, on a busy disk even to a kill."""
    async with asyncio.timeout(20):
        while (await redis.info("persistence"))["aof_buffer_length"]:
            await asyncio.sleep(0.02)


async def test_redis_may_go_and_come_back_and_nothing_accepted_is_lost(own_redis, tmp_path):
    async with running_gateway(own_redis.url, tmp_path) as gateway:
        await gateway.add_camera()
        await until_ready(gateway, True)
        for n in range(10):
            assert (await push(gateway, n)).status_code == 202
        await until_written(gateway.city.bus.redis)
        own_redis.kill()
        await until_said(gateway, "bus")
        refused = await push(gateway, 10)
        assert refused.status_code == 503
        assert refused.json()["code"] == "unavailable"
        assert int(refused.headers["Retry-After"]) >= 1
        own_redis.start()
        await until_ready(gateway, True)
        for n in range(10, 16):
            assert (await push(gateway, n)).status_code == 202
        assert await gateway.city.bus.backlog(CLIPS) == 1, "with the frames of before the fall"


async def test_a_gateway_that_starts_without_redis_waits_for_it(own_redis, tmp_path):
    async with running_gateway(own_redis.url, tmp_path) as gateway:
        key = gateway.api.headers["X-API-Key"]
    own_redis.stop()
    async with started(gateway.settings, key) as api:
        gateway.api = api
        assert (await api.get("/livez")).status_code == 200
        await until_said(gateway, "bus")
        own_redis.start()
        await until_ready(gateway, True)
        assert (await api.get("/v1/cameras")).status_code == 200


async def test_a_database_that_was_not_migrated_is_named_with_its_cure(bus, redis_server, tmp_path):
    settings = GatewaySettings(bus_url=redis_server.url, citybrain_home=tmp_path, database_url="")
    async with started(settings) as api:
        await asyncio.sleep(0.5)
        response = await api.get("/readyz")
        assert response.status_code == 503
        assert "init" in response.json()["reasons"]["schema"]
