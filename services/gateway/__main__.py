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
from shared.program import Program

KeyFile = Annotated[Path | None, typer.Option(help="Writes the secret there, for its owner alone")]

program = Program("gateway", GatewaySettings, __doc__)
program.serves(create_app)


@program.commands.command()
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
    program.commands()
