"""A service's settings, app, schema and jobs -> its command line: `serve`, `init`, `work`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import typer

from shared.database import migrate_once
from shared.service import serve
from shared.telemetry import configure_logging

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from fastapi import FastAPI

    from shared.settings import FloorSettings

Settings = TypeVar("Settings", bound="FloorSettings")


def command_line(about: str) -> typer.Typer:
    """Commands, with a callback that does what is usual where none is named."""
    return typer.Typer(
        help=about.replace("[", "\\["),  # else it is taken for markup
        invoke_without_command=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )


class Program(Generic[Settings]):
    """What `python -m services.NAME` does. `commands` takes those that are the service's own.

    settings: read when a command runs, not before.
    """

    def __init__(self, name: str, settings: Callable[[], Settings], about: str) -> None:
        self.commands = command_line(about)
        self._name = name
        self._settings = settings

    def serves(self, create_app: Callable[[Settings], FastAPI]) -> None:
        """Adds `serve`, which is also what is done where no command is named."""

        @self.commands.callback()
        def main(context: typer.Context) -> None:
            if context.invoked_subcommand is None:
                serve_command()

        @self.commands.command(name="serve")
        def serve_command() -> None:
            """Serves until told to stop (the default)."""
            settings = self._settings()
            serve(self._name, settings, create_app(settings))

    def migrates(self, migrations: Path, about: str = "Migrates the database.") -> None:
        """Adds `init`."""

        @self.commands.command(name="init", help=about)
        def init_command() -> None:
            asyncio.run(migrate_once(self._settings().database_of(self._name), migrations))
            typer.echo("the schema is up to date")

    def works(self, work: Callable[[Settings, str, int], Coroutine[Any, Any, None]]) -> None:
        """Adds `work`, which shared.job_worker runs in a process of its own."""

        @self.commands.command(name="work")
        def work_command(job_id: str, epoch: int) -> None:
            """Does one job: the service starts this for each."""
            settings = self._settings()
            configure_logging(
                f"{self._name}-job", level=settings.log_level, as_json=settings.log_json
            )
            asyncio.run(work(settings, job_id, epoch))
