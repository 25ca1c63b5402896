"""python -m services.anomaly [init | serve | work JOB_ID EPOCH]"""

from __future__ import annotations

import asyncio

import typer

from services.anomaly.app import MIGRATIONS, create_app, work
from services.anomaly.settings import AnomalySettings
from shared.database import migrate_once
from shared.service import serve
from shared.telemetry import configure_logging

cli = typer.Typer(
    help=__doc__,
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@cli.callback()
def main(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        serve_command()


@cli.command(name="serve")
def serve_command() -> None:
    """Serves until told to stop (the default)."""
    settings = AnomalySettings()
    serve("anomaly", settings, create_app(settings))


@cli.command()
def init() -> None:
    """Migrates the database, which only a service that trains needs."""
    asyncio.run(migrate_once(AnomalySettings().database_of("anomaly"), MIGRATIONS))
    print("the schema is up to date")


@cli.command(name="work")
def work_command(job_id: str, epoch: int) -> None:
    """Does one job: the service starts this for each."""
    settings = AnomalySettings()
    configure_logging("anomaly-job", level=settings.log_level, as_json=settings.log_json)
    asyncio.run(work(settings, job_id, epoch))


if __name__ == "__main__":
    cli()
