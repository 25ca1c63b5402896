"""The composition as it is written, and, where a daemon runs and is wanted, as it lives."""

from __future__ import annotations

import os
import secrets
import subprocess
from pathlib import Path

import httpx
import pytest

from services.embedded.layout import free_port
from tests.live.composition import Composition, compose_command, has_daemon

ROOT = Path(__file__).parents[2]
GPU = ROOT / "deploy" / "compose.gpu.yml"


def new_env(**changes: str) -> str:
    """What the operator's script writes, with some settings changed."""
    script = ROOT / "deploy" / "new-env.sh"
    written = subprocess.run(["sh", script], capture_output=True, text=True, check=True).stdout
    lines = [line for line in written.splitlines() if line.partition("=")[0] not in changes]
    return "\n".join([*lines, *(f"{name}={value}" for name, value in changes.items())]) + "\n"


@pytest.fixture(scope="session")
def compose():
    command = compose_command()
    if command is None:
        pytest.skip("docker compose is not installed")
    return command


@pytest.fixture(scope="session")
def written(compose, tmp_path_factory):
    """The composition with a fresh .env; nothing of it runs."""
    env = tmp_path_factory.mktemp("compose") / "env"
    env.write_text(new_env())
    return Composition(compose, ROOT, env, "citybrain-written")


@pytest.fixture(scope="module")
def living(compose, tmp_path_factory):
    """The composition, built, started and healthy; removed with its volumes afterwards.

    CITYBRAIN_COMPOSE_OVERRIDE: further compose files, such as for other models.
    """
    if os.environ.get("CITYBRAIN_LIVE") != "1":
        pytest.skip("set CITYBRAIN_LIVE=1 to build and start the whole composition")
    if not has_daemon():
        pytest.skip("no docker daemon runs")
    port = free_port("127.0.0.1")
    project = f"citybrain-live-{secrets.token_hex(3)}"
    env = tmp_path_factory.mktemp("live") / "env"
    env.write_text(new_env(PUBLISH_PORT=str(port), COMPOSE_PROJECT_NAME=project))
    further = os.environ.get("CITYBRAIN_COMPOSE_OVERRIDE", "")
    files = [Path(file) for file in further.split(os.pathsep) if file]
    composition = Composition(compose, ROOT, env, project, files, port=port)
    try:
        composition.run("build")
        composition.run("up", "-d")
        composition.await_healthy()
        yield composition
    finally:
        composition.run("down", "--volumes", "--timeout", "5")
    assert composition.leftovers() == []


@pytest.fixture(scope="module")
def admin_key(living):
    return living.run("run", "--rm", "admin-key").split()[-1]


@pytest.fixture
def api(living, admin_key):
    """An admin's client of the published port."""
    with httpx.Client(base_url=living.url, headers={"X-API-Key": admin_key}, timeout=30) as client:
        yield client
