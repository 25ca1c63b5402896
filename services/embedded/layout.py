"""A home folder -> where everything of an embedded city lies and listens."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from services.embedded.redis_server import bus_url, redis_command, socket_path

SERVICES = ("gateway", "anomaly", "reid", "synthetic")
DEFAULT_PORTS = {"gateway": 8000, "anomaly": 8001, "reid": 8002, "synthetic": 8003}
SHIPPED_MODELS = Path(__file__).parents[2] / "models"


@dataclass(frozen=True)
class Layout:
    """One embedded city. home: everything that it writes lies below. instance: what its services
    say of themselves, so that another city on the same port is not taken for it."""

    home: Path
    host: str = "127.0.0.1"
    models: Path = SHIPPED_MODELS
    ports: dict[str, int] = field(default_factory=dict)
    instance: str = field(default_factory=lambda: secrets.token_hex(8))

    @cached_property
    def redis_socket(self) -> Path:
        return socket_path(self.home / "redis")

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def admin_key_file(self) -> Path:
        return self.home / "admin.key"

    def url(self, service: str = "gateway") -> str:
        return f"http://{self.host}:{self.ports[service]}"

    def environment(self, service: str) -> dict[str, str]:
        """What a service reads its settings from."""
        return {
            "CITYBRAIN_HOME": str(self.home),
            "BLOBS_FOLDER": str(self.home / "blobs"),
            "MODELS_FOLDER": str(self.models),
            "BUS_URL": bus_url(self.redis_socket),
            "DATABASE_URL": f"sqlite+aiosqlite:///{self.home / service}.db",
            "REID_URL": self.url("reid"),
            "TRAINING_URL": self.url("anomaly"),
            "REID_TRAINING_URL": self.url("reid"),
            "STUDIO_URL": self.url("synthetic"),
            "ANOMALY_ROLES": '["score", "train"]',
            "REID_ROLES": '["embed", "gallery", "train"]',
            "INSTANCE": self.instance,
            "HOST": self.host,
            "PORT": str(self.ports[service]),
            # Side by side on few cores: threads come from the services' own lanes alone.
            "OMP_NUM_THREADS": "1",
        }

    def command(self, service: str) -> list[str]:
        return [*TETHERED, sys.executable, "-m", f"services.{service}"]

    @property
    def redis_command(self) -> list[str]:
        return [*TETHERED, *redis_command(self.home / "redis", self.redis_socket)]


TETHERED = (sys.executable, "-m", "services.embedded.tether")


def lay_out(home: Path, host: str, wanted: dict[str, int]) -> Layout:
    """A layout on the wanted ports, or on free ones where those are taken.

    MODELS_FOLDER: other models than those that ship.
    """
    home.mkdir(parents=True, exist_ok=True)
    ports = {
        service: port if is_free(host, port) else free_port(host)
        for service, port in (DEFAULT_PORTS | wanted).items()
    }
    models = Path(os.environ.get("MODELS_FOLDER", SHIPPED_MODELS)).resolve()
    return Layout(home=home.resolve(), host=host, models=models, ports=ports)


def is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        # As the server will: a port whose last connections are dying is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def inherited_environment() -> dict[str, str]:
    """The operator's own settings reach the services, except those that the layout decides."""
    decided = {"PORT", "HOST", "DATABASE_URL", "BUS_URL", "FRAMES_URL"}
    decided |= {"REID_URL", "TRAINING_URL", "REID_TRAINING_URL", "STUDIO_URL"}
    return {name: value for name, value in os.environ.items() if name not in decided}
