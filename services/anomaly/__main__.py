"""python -m services.anomaly [init | serve | work JOB_ID EPOCH]"""

from __future__ import annotations

from services.anomaly.app import MIGRATIONS, create_app, work
from services.anomaly.settings import AnomalySettings
from shared.program import Program

program = Program("anomaly", AnomalySettings, __doc__)
program.serves(create_app)
program.migrates(MIGRATIONS, "Migrates the database, which only a service that trains needs.")
program.works(work)

if __name__ == "__main__":
    program.commands()
