"""python -m services.gateway [init | serve]"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from services.gateway.app import create_app
from services.gateway.settings import GatewaySettings
from services.gateway.store.keys import Keys
from services.gateway.store.schema import MIGRATIONS
from shared.auth import Scope
from shared.bus import Bus
from shared.database import Database
from shared.service import serve

cli = typer.Typer(add_completion=False, invoke_without_command=True, help=__doc__)

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
    asyncio.run(_init(GatewaySettings(), key_file))


async def _init(settings: GatewaySettings, key_file: Path | None) -> None:
    database = Database(settings.database_of("gateway"))
    bus = Bus(settings.bus_url)
    try:
        await database.migrate(MIGRATIONS)
        keys = Keys(database, bus)
        if await keys.list():
            print("the schema is up to date; there are keys already")
            return
        _, key = await keys.issue("admin", [Scope.ADMIN])
        _hand_over(key.secret, key_file)
    finally:
        await bus.close()
        await database.close()


def _hand_over(secret: str, key_file: Path | None) -> None:
    if key_file is None:
        print(f"the first admin key, shown this once: {secret}")
        return
    key_file.parent.mkdir(parents=True, exist_ok=True)
    key_file.touch(mode=0o600)
    key_file.write_text(secret + "\n")
    print(f"the first admin key is in {key_file}")


if __name__ == "__main__":
    cli()
