from __future__ import annotations

import asyncio
from importlib import import_module
from pathlib import Path

import pytest
from fastapi import FastAPI
from typer.testing import CliRunner

from shared.database import Database
from shared.program import Program
from shared.settings import FloorSettings


class Reached(Exception):
    pass


@pytest.fixture
def program(monkeypatch, tmp_path):
    monkeypatch.setenv("CITYBRAIN_HOME", str(tmp_path))
    return Program("probe", FloorSettings, "python -m services.probe [init | serve]")


def call(program: Program, *words: str):
    return CliRunner().invoke(program.commands, words)


@pytest.mark.parametrize("words", [[], ["serve"]])
def test_serving_is_what_it_does_unless_told_otherwise(program, words, tmp_path):
    def create_app(settings: FloorSettings) -> FastAPI:
        raise Reached(settings.citybrain_home)

    program.serves(create_app)
    program.migrates(tmp_path)
    assert call(program, *words).exception.args == (tmp_path,)


def test_work_is_handed_its_job_and_the_epoch_of_its_lease(program, monkeypatch):
    seen = []

    async def work(settings: FloorSettings, job_id: str, epoch: int) -> None:
        seen.append((type(settings), job_id, epoch))

    named = []
    monkeypatch.setattr("shared.program.configure_logging", lambda name, **_: named.append(name))
    program.serves(FastAPI)
    program.works(work)
    assert call(program, "work", "01JOB", "3").exit_code == 0
    assert (seen, named) == ([(FloorSettings, "01JOB", 3)], ["probe-job"])
    assert call(program, "work", "01JOB", "third").exit_code == 2


@pytest.mark.parametrize("service", ["anomaly", "reid", "synthetic"])
def test_init_brings_a_service_s_schema_up_to_date_however_often(service, monkeypatch, tmp_path):
    url = f"sqlite+aiosqlite:///{tmp_path}/own.db"
    monkeypatch.setenv("DATABASE_URL", url)
    entry = import_module(f"services.{service}.__main__")
    for _ in range(2):
        answer = call(entry.program, "init")
        assert (answer.exit_code, answer.output) == (0, "the schema is up to date\n")
    assert not asyncio.run(is_behind(url, entry.MIGRATIONS))


async def is_behind(url: str, migrations: Path) -> bool:
    database = Database(url)
    try:
        return await database.pending_migrations(migrations)
    finally:
        await database.close()


def test_the_help_shows_what_stands_in_brackets(program):
    program.serves(FastAPI)
    assert "[init | serve]" in call(program, "--help").output
