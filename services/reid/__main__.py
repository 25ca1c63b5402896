"""python -m services.reid [init | serve]"""

from __future__ import annotations

from services.reid.app import create_app
from services.reid.gallery.schema import MIGRATIONS
from services.reid.settings import ReidSettings
from shared.program import Program

program = Program("reid", ReidSettings, __doc__)
program.serves(create_app)
program.migrates(MIGRATIONS)

if __name__ == "__main__":
    program.commands()
