"""Trainings under way -> recordings ended, jobs asked for and watched, footage forgotten"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from services.gateway.core.training import UNDER_WAY, TrainingState
from services.gateway.store import trainings
from services.gateway.store.cameras import camera_of
from services.gateway.store.tables import CameraRow, TrainingRow
from shared.clock import now_us
from shared.errors import Conflict, Invalid, Missing, Overloaded, Unavailable
from shared.jobs import JobState
from shared.patience import OUTAGES
from shared.recorded_clip import footage_of

if TYPE_CHECKING:
    from shared.blobs import BlobStore
    from shared.database import Database
    from shared.health import Vital
    from shared.jobs_api import Job
    from shared.leases import Lease

log = structlog.get_logger(__name__)

JOB_KIND = "camera.train"

ENDS = {
    JobState.SUCCEEDED: TrainingState.SUCCEEDED,
    JobState.FAILED: TrainingState.FAILED,
    JobState.CANCELLED: TrainingState.CANCELLED,
}


class Jobs(Protocol):
    """Where trainings are done. All methods raise Unavailable where it is away."""

    async def create(self, kind: str, params: dict[str, Any], key: str) -> Job:
        """Raises Invalid for parameters that it does not take, Conflict for the key of another
        job."""
        ...

    async def get(self, job_id: str) -> Job:
        """Raises Missing."""
        ...

    async def cancel(self, job_id: str) -> Job:
        """Raises Missing."""
        ...


class TrainingConductor:
    """Leads each training to its end. Runs under a lease, one for all gateways; whatever it does
    may be done twice."""

    def __init__(self, database: Database, blobs: BlobStore, jobs: Jobs, vital: Vital) -> None:
        self._database = database
        self._blobs = blobs
        self._jobs = jobs
        self._vital = vital

    async def run(self, _: Lease, *, every_s: float = 1.0) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.tick()
                self._vital.well()
            except OUTAGES as error:
                self._vital.ailing(str(error))
            await asyncio.sleep(every_s)

    async def tick(self) -> None:
        """One look at all trainings."""
        async with self._database.reading() as session:
            rows = await trainings.in_state(session, *UNDER_WAY)
        for row in rows:
            try:
                await self._lead(row)
            except (Unavailable, Overloaded) as error:
                # Where training is away, cameras are watched all the same.
                await self._change(row, note=f"waits: {error}"[:256])

    async def _lead(self, row: TrainingRow) -> None:
        if row.state == TrainingState.TRAINING:
            await self._watch(row)
        elif row.stop_reason is not None:
            await self._end(row, TrainingState.CANCELLED, error=row.stop_reason)
        elif row.state == TrainingState.RECORDED:
            await self._ask(row)
        elif row.deadline_us <= now_us():
            told = f"only {row.frames} of {row.frames_wanted} normal frames came in time"
            await self._end(row, TrainingState.FAILED, error=told)

    async def _ask(self, row: TrainingRow) -> None:
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
        try:
            job = await self._jobs.create(JOB_KIND, params, key=row.id)
        except (Invalid, Conflict) as error:
            await self._end(row, TrainingState.FAILED, error=str(error))
            return
        await self._change(row, state=TrainingState.TRAINING, job_id=job.id, note="")

    async def _watch(self, row: TrainingRow) -> None:
        job_id = str(row.job_id)
        try:
            job = await self._jobs.get(job_id)
            if row.stop_reason is not None and not job.state.is_final:
                job = await self._jobs.cancel(job_id)
        except Missing:
            await self._end(row, TrainingState.FAILED, error=f"its job {job_id} is gone")
            return
        if job.state.is_final:
            error = job.error or row.stop_reason
            await self._end(row, ENDS[job.state], result=job.result, error=error)
        else:
            await self._change(row, progress=job.progress, note=job.note)

    async def _end(self, row: TrainingRow, state: TrainingState, **columns: Any) -> None:
        """The footage goes first: a crash in between deletes it once more."""
        await self._blobs.delete(footage_of(row.camera_id, row.id))
        columns |= {"state": state, "finished_us": now_us(), "note": ""}
        await self._change(row, **columns)
        log.info("training_ended", training_id=row.id, camera_id=row.camera_id, state=state)

    async def _change(self, row: TrainingRow, **columns: Any) -> None:
        """Of what is still in the state in which it was seen."""
        async with self._database.writing() as session:
            current = await session.get(TrainingRow, row.id, with_for_update=True)
            if current is not None and current.state == row.state:
                for name, value in columns.items():
                    setattr(current, name, value)
