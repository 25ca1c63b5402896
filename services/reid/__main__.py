"""python -m services.reid [init | serve | work JOB_ID EPOCH]"""

from __future__ import annotations

from services.reid.app import create_app, work
from services.reid.gallery.schema import MIGRATIONS
from services.reid.settings import ReidSettings
from shared.program import Program

program = Program("reid", ReidSettings, __doc__)
program.serves(create_app)
program.migrates(MIGRATIONS)
program.works(work)

if __name__ == "__main__":
    program.commands()
