"""Trainings under way -> recordings ended, jobs asked for and watched, footage forgotten"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.gateway.composer.conductor import Conductor
from services.gateway.core.training import UNDER_WAY, TrainingState
from services.gateway.store import trainings
from services.gateway.store.cameras import camera_of
from services.gateway.store.tables import CameraRow, TrainingRow
from shared.clock import now_us
from shared.jobs import JobState
from shared.recorded_clip import footage_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from services.gateway.composer.conductor import Jobs
    from shared.blobs import BlobStore
    from shared.database import Database
    from shared.health import Vital
    from shared.jobs_api import Job

JOB_KIND = "camera.train"


class TrainingConductor(Conductor[TrainingRow]):
    """Leads each camera's training."""

    def __init__(self, database: Database, blobs: BlobStore, jobs: Jobs, vital: Vital) -> None:
        super().__init__(database, vital)
        self._blobs = blobs
        self._jobs = jobs

    async def _under_way(self, session: AsyncSession) -> Sequence[TrainingRow]:
        return await trainings.in_state(session, *UNDER_WAY)

    async def _lead(self, row: TrainingRow) -> None:
        if row.state == TrainingState.TRAINING:
            await self._watch(self._jobs, row)
        elif row.stop_reason is not None:
            await self._end(row, JobState.CANCELLED, error=row.stop_reason)
        elif row.state == TrainingState.RECORDED:
            await self._begin(row)
        elif row.deadline_us <= now_us():
            told = f"only {row.frames} of {row.frames_wanted} normal frames came in time"
            await self._fail(row, told)

    async def _begin(self, row: TrainingRow) -> None:
        async with self._database.reading() as session:
            camera_row = await session.get_one(CameraRow, row.camera_id)
        params = {
            "camera_id": row.camera_id,
            "footage": footage_of(row.camera_id, row.id),
            "fps": row.fps,
            "unwatched": [polygon.model_dump() for polygon in camera_of(camera_row).unwatched],
            "steps": row.steps,
            "learning_rate": row.learning_rate,
            "activate": row.activate,
        }
        if job := await self._ask(self._jobs, row, JOB_KIND, params, row.id):
            await self._change(row, state=TrainingState.TRAINING, job_id=job.id, note="")

    async def _hear(self, row: TrainingRow, job: Job) -> None:
        await self._change(row, progress=job.progress, note=job.note)

    async def _conclude(self, row: TrainingRow, job: Job) -> None:
        await self._end(row, job.state, result=job.result, error=job.error or row.stop_reason)

    async def _clear(self, row: TrainingRow) -> None:
        await self._blobs.delete(footage_of(row.camera_id, row.id))
