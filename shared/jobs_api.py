"""REST for jobs: start, watch, stop."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Header, Query, Request, Response, Security
from pydantic import BaseModel, Field, ValidationError

from shared.auth import Scope, authenticate
from shared.clock import from_us
from shared.errors import Fault, Malformed, Unavailable
from shared.jobs import JobQueue, JobState
from shared.paging import Page


class NewJob(BaseModel):
    """What to do. `GET /v1/job-kinds` lists the kinds and their parameters."""

    kind: str
    params: dict[str, Any] = Field(default_factory=dict)


class Job(BaseModel):
    """A job. progress: 0 to 1. attempts: how many processes have worked on it, but for those that
    were told to stop; when the fifth dies, the job has failed."""

    id: str
    kind: str
    params: dict[str, Any]
    state: JobState
    progress: float
    note: str
    result: dict[str, Any] | None
    error: str | None
    attempts: int
    cancel_requested: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, row: Any) -> Self:
        return cls(
            id=row.id,
            kind=row.kind,
            params=row.params,
            state=JobState(row.state),
            progress=row.progress,
            note=row.note,
            result=row.result,
            error=row.error,
            attempts=row.attempts,
            cancel_requested=row.cancel_requested,
            created_at=from_us(row.created_us),
            started_at=from_us(row.started_us) if row.started_us else None,
            finished_at=from_us(row.finished_us) if row.finished_us else None,
        )


class KindOfJob(BaseModel):
    kind: str
    summary: str
    parameters: dict[str, Any]


router = APIRouter(prefix="/v1", tags=["jobs"])
READS = Security(authenticate, scopes=[Scope.JOBS_READ])
WRITES = Security(authenticate, scopes=[Scope.JOBS_WRITE])


def _queue(request: Request) -> JobQueue:
    """Raises Unavailable (`not_installed`) where the service does no jobs: it says why instead."""
    queue: JobQueue | str = request.app.state.jobs
    if isinstance(queue, str):
        raise Unavailable(queue, code="not_installed")
    return queue


@router.get("/job-kinds", dependencies=[READS])
async def list_kinds(request: Request) -> list[KindOfJob]:
    """What can be asked for, with the JSON schema of its parameters."""
    return [
        KindOfJob(kind=name, summary=kind.summary, parameters=kind.params.model_json_schema())
        for name, kind in sorted(_queue(request).kinds.items())
    ]


@router.post("/jobs", status_code=202, dependencies=[WRITES])
async def create_job(
    request: Request,
    response: Response,
    new: NewJob,
    idempotency_key: Annotated[str | None, Header(max_length=128)] = None,
) -> Job:
    """Starts a job; `Location` tells where to watch it."""
    try:
        row = await _queue(request).create(new.kind, new.params, idempotency_key)
    except ValidationError as error:
        faults = tuple(
            Fault(".".join(["params", *map(str, fault["loc"])]), fault["type"], fault["msg"])
            for fault in error.errors()
        )
        named = "; ".join(f"{fault.field}: {fault.message}" for fault in faults)
        raise Malformed(f"the job's parameters are wrong: {named}", faults=faults) from error
    response.headers["Location"] = f"/v1/jobs/{row.id}"
    return Job.of(row)


@router.get("/jobs", dependencies=[READS])
async def list_jobs(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: str | None = None,
) -> Page[Job]:
    """Jobs, the newest first."""
    rows = await _queue(request).newest(limit + 1, cursor)
    return Page.of([Job.of(row) for row in rows], limit, key=lambda job: job.id)


@router.get("/jobs/{job_id}", dependencies=[READS])
async def get_job(request: Request, job_id: str) -> Job:
    return Job.of(await _queue(request).get(job_id))


@router.delete("/jobs/{job_id}", status_code=202, dependencies=[WRITES])
async def cancel_job(request: Request, job_id: str) -> Job:
    """Asks the job to stop, which it does between two steps. What is whole stays; no half of a
    model or of a data set does."""
    return Job.of(await _queue(request).cancel(job_id))
