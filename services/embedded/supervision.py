"""A layout -> its processes, started, watched and restarted by supervisord."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import subprocess
import sys
from configparser import RawConfigParser
from typing import TYPE_CHECKING

import httpx
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.anomaly.app import MIGRATIONS as ANOMALY_MIGRATIONS
from services.embedded.layout import SERVICES, TETHERED, inherited_environment
from services.embedded.redis_server import bus_url
from services.gateway.settings import GatewaySettings
from services.gateway.setup import MIGRATIONS as GATEWAY_MIGRATIONS
from services.gateway.setup import first_admin_key, hand_over
from services.reid.gallery.schema import MIGRATIONS as REID_MIGRATIONS
from services.synthetic.app import MIGRATIONS as SYNTHETIC_MIGRATIONS
from shared.database import migrate_once
from shared.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from services.embedded.layout import Layout

MIGRATIONS = {
    "anomaly": ANOMALY_MIGRATIONS,
    "gateway": GATEWAY_MIGRATIONS,
    "reid": REID_MIGRATIONS,
    "synthetic": SYNTHETIC_MIGRATIONS,
}

START_S = 300.0
"""How long a service may take to be ready. One that ends is started again meanwhile; what ends this
wait early is a supervisor that has ended."""

STOP_S = 20.0


class EmbeddedCity:
    """Everything runs while its context lasts. Nothing is left behind after it."""

    def __init__(self, layout: Layout, tell: Callable[[str], None] = lambda text: None) -> None:
        self.layout = layout
        self._tell = tell
        self._supervisor: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> EmbeddedCity:
        """Raises Unavailable where a service does not become ready in time."""
        try:
            await self._start()
        except BaseException:
            await asyncio.to_thread(self._stop)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self._stop)

    @property
    def admin_key(self) -> str:
        return self.layout.admin_key_file.read_text().strip()

    async def _start(self) -> None:
        layout = self.layout
        layout.logs.mkdir(parents=True, exist_ok=True)
        for service, migrations in MIGRATIONS.items():
            await migrate_once(layout.environment(service)["DATABASE_URL"], migrations)
        config = self._write_config()
        # Keyboard interrupts are ours alone: in a session of its own it hears of none.
        self._supervisor = subprocess.Popen(  # noqa: ASYNC220, S603 - it is watched, not awaited
            [*TETHERED, sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(config)],
            env=inherited_environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        await self._await_redis()
        self._tell("Redis is up, its append-only file on")
        settings = GatewaySettings(
            database_url=layout.environment("gateway")["DATABASE_URL"],
            bus_url=bus_url(layout.redis_socket),
        )
        if secret := await first_admin_key(settings):
            hand_over(secret, layout.admin_key_file)
        await asyncio.gather(*(self._await_ready(service) for service in SERVICES))

    def _write_config(self) -> Path:
        """supervisord's configuration. Percent signs would be read as its own variables."""
        config = RawConfigParser()
        home, logs = self.layout.home, self.layout.logs
        config["supervisord"] = {
            "nodaemon": "true",
            "logfile": str(logs / "supervisord.log"),
            "pidfile": str(home / "supervisord.pid"),
            "childlogdir": str(logs),
        }
        commands = {"redis": self.layout.redis_command} | {
            service: self.layout.command(service) for service in SERVICES
        }
        for name, command in commands.items():
            variables = {} if name == "redis" else self.layout.environment(name)
            config[f"program:{name}"] = {
                "command": shlex.join(command),
                "environment": ",".join(
                    f"{key}={_quoted(value)}" for key, value in variables.items()
                ),
                "autorestart": "true",
                "startsecs": "2",
                "startretries": "1000",
                "stopasgroup": "true",
                "killasgroup": "true",
                "stopwaitsecs": "10",
                # Redis goes last, so that the services can end what they are at.
                "priority": "1" if name == "redis" else "10",
                "redirect_stderr": "true",
                "stdout_logfile": str(logs / f"{name}.log"),
            }
        for section in config.sections():
            for key, value in config[section].items():
                config[section][key] = value.replace("%", "%%")
        path = home / "supervisord.conf"
        with path.open("w") as file:
            config.write(file)
        return path

    async def _await_redis(self) -> None:
        client = Redis.from_url(bus_url(self.layout.redis_socket))
        try:
            async with asyncio.timeout(START_S):
                while True:
                    try:
                        await client.ping()
                    except RedisError:
                        self._check_supervisor()
                        await asyncio.sleep(0.1)
                    else:
                        return
        except TimeoutError:
            raise self._not_up("redis", "it does not answer") from None
        finally:
            await client.aclose()

    async def _await_ready(self, service: str) -> None:
        reason = "it does not answer"
        async with httpx.AsyncClient(base_url=self.layout.url(service), timeout=5) as client:
            try:
                async with asyncio.timeout(START_S):
                    while True:
                        with contextlib.suppress(httpx.TransportError, ValueError):
                            version = (await client.get("/version")).json()
                            if version.get("instance") != self.layout.instance:
                                reason = f"somebody else answers at {self.layout.url(service)}"
                            elif (response := await client.get("/readyz")).is_success:
                                break
                            else:
                                reason = str(response.json()["reasons"])
                        self._check_supervisor()
                        await asyncio.sleep(0.2)
            except TimeoutError:
                raise self._not_up(service, reason) from None
        self._tell(f"{service} is ready at {self.layout.url(service)}")

    def _check_supervisor(self) -> None:
        if self._supervisor is not None and self._supervisor.poll() is not None:
            raise self._not_up("supervisord", f"it ended with {self._supervisor.returncode}")

    def _not_up(self, name: str, reason: str) -> Unavailable:
        return Unavailable(f"{name} did not start: {reason}; see {self.layout.logs}/{name}.log")

    def _stop(self) -> None:
        supervisor, self._supervisor = self._supervisor, None
        if supervisor is None or supervisor.poll() is not None:
            return
        supervisor.send_signal(signal.SIGTERM)
        try:
            supervisor.wait(STOP_S)
        except subprocess.TimeoutExpired:
            # Its children are tethered to it: they go with it.
            os.killpg(supervisor.pid, signal.SIGKILL)
            supervisor.wait()


def _quoted(value: str) -> str:
    """As supervisord reads it: either quote, and no way to escape one."""
    return f"'{value}'" if '"' in value else f'"{value}"'
