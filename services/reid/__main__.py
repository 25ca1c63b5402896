"""python -m services.reid [init | serve]"""

from __future__ import annotations

import asyncio

import typer

from services.reid.app import create_app
from services.reid.gallery.schema import MIGRATIONS
from services.reid.settings import ReidSettings
from shared.database import migrate_once
from shared.service import serve

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
    settings = ReidSettings()
    serve("reid", settings, create_app(settings))


@cli.command()
def init() -> None:
    """Migrates the database."""
    asyncio.run(migrate_once(ReidSettings().database_of("reid"), MIGRATIONS))
    print("the schema is up to date")


if __name__ == "__main__":
    cli()
