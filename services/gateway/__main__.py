"""python -m services.gateway [init | serve]"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from services.gateway.app import create_app
from services.gateway.settings import GatewaySettings
from services.gateway.setup import MIGRATIONS, first_admin_key, hand_over
from shared.database import migrate_once
from shared.service import serve

cli = typer.Typer(
    help=__doc__,
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

KeyFile = Annotated[Path | None, typer.Option(help="Writes the secret there, for its owner alone")]


@cli.callback()
def main(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        serve_command()


@cli.command(name="serve")
def serve_command() -> None:
    """Serves until told to stop (the default)."""
    settings = GatewaySettings()
    serve("gateway", settings, create_app(settings))


@cli.command()
def init(key_file: KeyFile = None) -> None:
    """Migrates the database, and makes the first admin key where there is none."""
    settings = GatewaySettings()
    asyncio.run(migrate_once(settings.database_of("gateway"), MIGRATIONS))
    secret = asyncio.run(first_admin_key(settings))
    if secret is None:
        print("the schema is up to date; there are keys already")
    elif key_file is None:
        print(f"the first admin key, shown this once: {secret}")
    else:
        hand_over(secret, key_file)
        print(f"the first admin key is in {key_file}")


if __name__ == "__main__":
    cli()
