"""python -m services.synthetic [init | serve | work JOB_ID EPOCH]"""

from __future__ import annotations

from services.synthetic.app import MIGRATIONS, create_app, work
from services.synthetic.settings import SyntheticSettings
from shared.program import Program

program = Program("synthetic", SyntheticSettings, __doc__)
program.serves(create_app)
program.migrates(MIGRATIONS)
program.works(work)

if __name__ == "__main__":
    program.commands()
