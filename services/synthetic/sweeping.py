"""What processes that died have left on the disk -> nothing."""

from __future__ import annotations

import asyncio
import shutil
import time
from typing import TYPE_CHECKING

import structlog

from services.synthetic.tables import JobRow
from shared.data_folder import MANIFEST
from shared.errors import Unavailable
from shared.jobs import JobState

if TYPE_CHECKING:
    from pathlib import Path

    from services.synthetic.shelf import Shelf
    from shared.database import Database
    from shared.health import Vital

log = structlog.get_logger(__name__)

EVERY_S = 3600.0
LEFT_AFTER_S = 24 * 3600.0
"""Without a change for so long, an upload or a draft is nobody's."""


class Sweeper:
    """jobs_folder: below it every job has one, named by its id."""

    def __init__(self, shelf: Shelf, jobs_folder: Path, database: Database) -> None:
        self._shelf = shelf
        self._jobs_folder = jobs_folder
        self._database = database

    async def run(self, vital: Vital) -> None:
        """At once, and every hour, until cancelled. What cannot be swept is told, and nobody has to
        wait for it."""
        vital.well()
        while True:
            try:
                await self.sweep()
            except (OSError, Unavailable) as error:
                log.warning("sweep_failed", error=str(error))
            await asyncio.sleep(EVERY_S)

    async def sweep(self) -> None:
        """Raises Unavailable and OSError; the next round goes on."""
        await asyncio.to_thread(self._shelf.sweep, time.time() - LEFT_AFTER_S)
        for folder in await asyncio.to_thread(_with_scratch, self._jobs_folder):
            async with self._database.reading() as session:
                row = await session.get(JobRow, folder.name)
            # A folder that no row knows may be of another database.
            if row is not None and JobState(row.state).is_final:
                await asyncio.to_thread(_tidy, folder)


def _with_scratch(jobs_folder: Path) -> list[Path]:
    found = jobs_folder.iterdir() if jobs_folder.is_dir() else ()
    return [folder for folder in found if folder.is_dir() and _scratch(folder)]


def _scratch(folder: Path) -> list[Path]:
    """Where a job works: checkpoints, and data sets that are not whole."""
    return [one for one in folder.iterdir() if one.is_dir() and not (one / MANIFEST).is_file()]


def _tidy(folder: Path) -> None:
    """Losses are kept: they tell why a training was stopped."""
    for scratch in _scratch(folder):
        for losses in scratch.glob("*.jsonl"):
            losses.replace(folder / losses.name)
        shutil.rmtree(scratch, ignore_errors=True)
        log.info("job_swept", job_id=folder.name, folder=scratch.name)
