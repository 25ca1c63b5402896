"""A real Redis and real databases for every test that asks."""

from __future__ import annotations

import asyncio
import os
import pwd
import secrets
import shutil
import subprocess
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from redis import Redis
from redis.exceptions import RedisError

from services.embedded.layout import SERVICES, free_port, lay_out
from services.embedded.redis_server import bus_url, redis_command
from services.embedded.supervision import EmbeddedCity
from shared.bus import Bus
from tests.postgres_server import PostgresServer, postgres_programs


class RedisServer:
    """A Redis server of our own, that a test may stop and start again."""

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self.socket = folder / "redis.sock"
        self.url = bus_url(self.socket)
        self._command = redis_command(folder, self.socket, durable=durable)
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        with Redis.from_url(self.url) as client:
            while True:
                try:
                    client.ping()
                except RedisError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)
                else:
                    return

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=20)
            self._process = None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(timeout=20)
        self._process = None


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_redis(tmp_path):
    folder = tmp_path / "own-redis"
    folder.mkdir()
    server = RedisServer(folder, durable=True)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def bus(redis_server):
    bus = Bus(redis_server.url)
    await bus.redis.flushall()
    yield bus
    await bus.close()


@pytest.fixture(scope="session")
def embedded_city(tmp_path_factory):
    """The whole system, real in every part: yields its layout; see `api` for a client.

    On the runtime that `make demo` and the images have, not on what else is installed for tests.
    """
    folder = tmp_path_factory.mktemp("city")
    ports = {service: free_port("127.0.0.1") for service in SERVICES}
    layout = lay_out(folder, "127.0.0.1", ports)
    city = EmbeddedCity(layout)
    with closing(asyncio.new_event_loop()) as loop:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("INFERENCE_PROVIDER", "cpu")
            loop.run_until_complete(city.__aenter__())
        yield city
        loop.run_until_complete(city.__aexit__(None, None, None))


@pytest.fixture
async def api(embedded_city):
    """An admin's client of the embedded city's gateway."""
    headers = {"X-API-Key": embedded_city.admin_key}
    url = embedded_city.layout.url()
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client:
        yield client


def footage(*parts: str) -> Path:
    """A folder of real data; the test skips, saying so, where it is absent."""
    root = Path(os.environ.get("CITYBRAIN_DATA", Path(__file__).parents[2] / "shared" / "data"))
    folder = root.joinpath(*parts)
    if not folder.exists():
        pytest.skip(f"no real footage at {folder}; set CITYBRAIN_DATA")
    return folder


@pytest.fixture
def data():
    """Call it with the parts of a path below CITYBRAIN_DATA."""
    return footage


@pytest.fixture(scope="session")
def postgres_server():
    """A PostgreSQL server of our own, where its programs are installed."""
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL's server programs are not installed")
    if os.geteuid() == 0 and (shutil.which("setpriv") is None or not _has_user("postgres")):
        pytest.skip("PostgreSQL does not run as root, and there is no postgres user to run it")
    server = PostgresServer(programs)
    server.start()
    yield server
    server.stop()
    server.remove()


@pytest.fixture(scope="session")
def postgres_url(postgres_server):
    """The server's maintenance database."""
    return postgres_server.url()


@pytest.fixture
def postgres_database(postgres_server):
    """The URL of a new and empty PostgreSQL database, dropped after the test."""
    name = f"city_{secrets.token_hex(6)}"
    postgres_server.create(name)
    yield postgres_server.url(name)
    postgres_server.drop(name)


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
