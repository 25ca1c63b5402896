"""Adaptations under way -> one stage's job after the other, and what was collected for them deleted

A gateway that dies between asking for a job and writing down which one it got asks once more, by
the same key, and gets the same job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from services.gateway.composer.conductor import Conductor, Jobs
from services.gateway.core.adaptation import Stage, order_of, progress_at, result_of, stage_after
from services.gateway.store import adaptations
from services.gateway.store.adaptation_tables import AdaptationRow
from shared.jobs import JobState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from shared.database import Database
    from shared.health import Vital
    from shared.jobs_api import Job


class Studio(Jobs, Protocol):
    """Where styles are learnt and images made, and where data sets lie."""

    async def remove(self, dataset_id: str) -> None:
        """Nothing happens where there is none."""
        ...


class AdaptationConductor(Conductor[AdaptationRow]):
    """Leads each change of the re-ID model.

    Who is forgotten while a style is learnt keeps nothing of themselves in what lasts: collected
    crops of live cameras are under no name, nobody of them is made, and the data set goes with the
    adaptation's end, whichever it is. The style's model and the made data set stay: the verdict on
    these is worth having.
    """

    seen_by = ("state", "stage", "job_id")

    def __init__(self, database: Database, reid: Jobs, studio: Studio, vital: Vital) -> None:
        super().__init__(database, vital)
        self._reid = reid
        self._studio = studio

    async def _under_way(self, session: AsyncSession) -> Sequence[AdaptationRow]:
        return await adaptations.under_way(session)

    async def _lead(self, row: AdaptationRow) -> None:
        if row.job_id is None:
            await self._begin(row)
        else:
            await self._watch(self._jobs(row), row)

    async def _begin(self, row: AdaptationRow) -> None:
        """Also of what is to stop: only by its key is it known whether a gateway that died had
        asked for the job, which then would go on without anybody."""
        stage = Stage(row.stage)
        order = order_of(row.id, stage, row.asked, row.done)
        jobs, key = self._jobs(row), f"{row.id}/{stage}"
        job = await self._ask(jobs, row, order.kind, order.params, key)
        if job is None:
            return
        if row.stop_reason is not None:
            await jobs.cancel(job.id)
        await self._change(row, job_id=job.id, note=f"{stage}: waits for its turn")

    async def _hear(self, row: AdaptationRow, job: Job) -> None:
        if job.state is JobState.RUNNING:
            note = f"{row.stage}: {job.note}"[:256] if job.note else row.stage
            progress = progress_at(Stage(row.stage), job.progress, row.asked)
            await self._change(row, state=JobState.RUNNING, progress=progress, note=note)
        elif row.note.startswith("waits: "):
            await self._change(row, note=f"{row.stage}: waits for its turn")

    async def _conclude(self, row: AdaptationRow, job: Job) -> None:
        stage = Stage(row.stage)
        if job.state is JobState.FAILED:
            await self._fail(row, job.error or "")
        elif job.state is JobState.CANCELLED:
            told = row.stop_reason or f"{stage}: somebody has cancelled its job"
            await self._end(row, JobState.CANCELLED, error=told)
        else:
            await self._go_on(row, stage, job)

    async def _go_on(self, row: AdaptationRow, stage: Stage, job: Job) -> None:
        done = row.done | {stage.value: job.result or {}}
        following = stage_after(stage, row.asked)
        if following is None:
            result = result_of(row.asked, done)
            await self._end(row, JobState.SUCCEEDED, done=done, result=result, progress=1.0)
        elif row.stop_reason is not None:
            await self._end(row, JobState.CANCELLED, done=done, error=row.stop_reason)
        else:
            progress = progress_at(following, 0, row.asked)
            changes = {"stage": following, "job_id": None, "done": done, "progress": progress}
            await self._change(row, state=JobState.RUNNING, **changes)

    async def _fail(self, row: AdaptationRow, error: str) -> None:
        await super()._fail(row, f"{row.stage}: {error}")

    async def _clear(self, row: AdaptationRow) -> None:
        """What was collected has the id of its job."""
        if row.stage == Stage.COLLECT and row.job_id is not None:
            await self._studio.remove(row.job_id)
        elif Stage.COLLECT in row.done:
            await self._studio.remove(row.done[Stage.COLLECT]["dataset_id"])

    def _jobs(self, row: AdaptationRow) -> Jobs:
        return self._studio if Stage(row.stage).is_of_the_studio else self._reid
