"""Compose files and an environment -> a composition that a test reads, starts, hurts, removes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

PLUGIN = ("docker", "compose")
PROGRAM = ("docker-compose",)
HEALTHY_S = 240
OVERRIDDEN = ("COMPOSE_", "CITYBRAIN_TAG", "PUBLISH_")


def compose_command() -> tuple[str, ...] | None:
    """The plugin, else the older program of its own."""
    for command in (PLUGIN, PROGRAM):
        if shutil.which(command[0]):
            told = subprocess.run([*command, "version"], capture_output=True, check=False)
            if told.returncode == 0:
                return command
    return None


def has_daemon() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    return subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass
class Composition:
    command: tuple[str, ...]
    root: Path
    env: Path
    project: str
    files: list[Path] = field(default_factory=list)
    port: int = 8000

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def run(self, *arguments: str) -> str:
        done = self.attempt(*arguments)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done.stdout

    def attempt(self, *arguments: str) -> subprocess.CompletedProcess:
        files = [self.root / "docker-compose.yml", *self.files]
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(OVERRIDDEN)}
        return subprocess.run(
            [
                *self.command,
                *("--project-name", self.project),
                *("--env-file", str(self.env)),
                *(part for file in files for part in ("-f", str(file))),
                *arguments,
            ],
            cwd=self.root,
            env=inherited,
            capture_output=True,
            text=True,
            check=False,
        )

    def config(self, *files: Path, profiles: tuple[str, ...] = ()) -> dict:
        """The composition as Compose understands it."""
        chosen = replace(self, files=list(files))
        flags = [part for profile in profiles for part in ("--profile", profile)]
        if self.command == PLUGIN:
            return json.loads(chosen.run(*flags, "config", "--format", "json"))
        # The older program knows no --format.
        return yaml.safe_load(chosen.run(*flags, "config"))

    def containers(self, service: str | None = None) -> list[str]:
        labels = [f"label=com.docker.compose.project={self.project}"]
        if service:
            labels.append(f"label=com.docker.compose.service={service}")
        filters = [part for label in labels for part in ("--filter", label)]
        return docker("ps", "--all", "--quiet", *filters).split()

    def leftovers(self) -> list[str]:
        """Containers, volumes and networks of this project that are still there."""
        label = f"label=com.docker.compose.project={self.project}"
        return [
            name
            for noun in ("volume", "network")
            for name in docker(noun, "ls", "--quiet", "--filter", label).split()
        ] + self.containers()

    def states(self) -> dict[str, str]:
        """Container name -> healthy, starting, unhealthy, running (no check), or exited with N."""
        told = {}
        for container in json.loads(docker("inspect", *self.containers())):
            state = container["State"]
            health = state.get("Health", {}).get("Status")
            ended = f"exited with {state['ExitCode']}"
            told[container["Name"]] = (health or "running") if state["Running"] else ended
        return told

    def restarts(self) -> dict[str, int]:
        """How often Docker has restarted a service's containers by itself."""
        told: dict[str, int] = {}
        for container in json.loads(docker("inspect", *self.containers())):
            service = container["Config"]["Labels"]["com.docker.compose.service"]
            told[service] = told.get(service, 0) + container["RestartCount"]
        return told

    def await_healthy(self, timeout_s: float = HEALTHY_S) -> None:
        deadline = time.monotonic() + timeout_s
        while set((states := self.states()).values()) - {"healthy", "exited with 0"}:
            assert time.monotonic() < deadline, states
            time.sleep(1)

    def kill(self, service: str) -> None:
        """SIGKILL from outside: Docker takes it for an order, and leaves the container down."""
        docker("kill", *self.containers(service))

    def start(self, service: str) -> None:
        docker("start", *self.containers(service))

    def crash(self, service: str) -> None:
        """SIGKILL from within, as an out-of-memory kill would be: the restart policy's affair."""
        for container in self.containers(service):
            subprocess.run(["docker", "exec", container, "sh", "-c", "kill -9 -1"], check=False)

    def figures(self, container: str) -> str:
        """What a container tells Prometheus."""
        read = (
            "import urllib.request as r;"
            "print(r.urlopen('http://127.0.0.1:8000/metrics').read().decode())"
        )
        return docker("exec", container, "python", "-c", read)
