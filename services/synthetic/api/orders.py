"""What the nouns share that are jobs: ordered once, watched, listed and cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import FileResponse

from services.synthetic.settings import SyntheticSettings
from services.synthetic.shelf import Shelf
from shared.errors import Missing, Unavailable
from shared.jobs import JobQueue
from shared.jobs_api import READS, WRITES, Job
from shared.made_data import SHEET
from shared.model_store import ModelStore
from shared.paging import Page

if TYPE_CHECKING:
    from pydantic import BaseModel

IdempotencyKey = Annotated[
    str | None, Header(max_length=128, description="The same key is the same order, done once.")
]
Limit = Annotated[int, Query(ge=1, le=1000)]


def settings_of(request: Request) -> SyntheticSettings:
    settings: SyntheticSettings = request.app.state.settings
    return settings


def shelf_of(request: Request) -> Shelf:
    return Shelf(settings_of(request).datasets_folder)


def store_of(request: Request) -> ModelStore:
    return ModelStore(*settings_of(request).model_folders)


def queue_of(request: Request) -> JobQueue:
    queue: JobQueue = request.app.state.jobs
    return queue


def check_installed(request: Request) -> None:
    """Raises Unavailable (`not_installed`) where nothing is installed that learns."""
    if why := request.app.state.why_not_here:
        raise Unavailable(why, code="not_installed")


async def order(
    request: Request, response: Response, kind: str, params: BaseModel, key: str | None, noun: str
) -> Job:
    row = await queue_of(request).create(kind, params.model_dump(mode="json"), key)
    response.headers["Location"] = f"/v1/{noun}/{row.id}"
    return Job.of(row)


def add_orders(router: APIRouter, noun: str, kind: str) -> None:
    """GET /NOUN, GET and DELETE /NOUN/{id}, and GET /NOUN/{id}/sheet.png of one kind of job."""

    @router.get(f"/{noun}", dependencies=[READS], operation_id=f"list_{noun}")
    async def list_orders(
        request: Request, limit: Limit = 100, cursor: str | None = None
    ) -> Page[Job]:
        """The newest first."""
        rows = await queue_of(request).newest(limit + 1, cursor, kind)
        return Page.of([Job.of(row) for row in rows], limit, key=lambda job: job.id)

    @router.get(f"/{noun}/{{job_id}}", dependencies=[READS], operation_id=f"get_{noun}")
    async def get_order(request: Request, job_id: str) -> Job:
        """How far it is: `note` tells the losses, or the pictures, so far."""
        return Job.of(await _find(request, job_id, kind))

    @router.delete(
        f"/{noun}/{{job_id}}",
        status_code=202,
        dependencies=[WRITES],
        operation_id=f"cancel_{noun}",
    )
    async def cancel_order(request: Request, job_id: str) -> Job:
        """Asks the job to stop, which it does between two steps. What is whole stays; no half of a
        model or of a data set does."""
        await _find(request, job_id, kind)
        return Job.of(await queue_of(request).cancel(job_id))

    _add_sheet(router, noun, kind)


def _add_sheet(router: APIRouter, noun: str, kind: str) -> None:
    @router.get(
        f"/{noun}/{{job_id}}/sheet.png",
        dependencies=[READS],
        operation_id=f"get_sheet_of_{noun}",
        response_class=FileResponse,
        responses={200: {"content": {"image/png": {}}}},
    )
    async def get_sheet(request: Request, job_id: str) -> FileResponse:
        """What it makes, or made last. 404 (`no_sheet`) before there is anything to see."""
        await _find(request, job_id, kind)
        settings = settings_of(request)
        for folder in (settings.jobs_folder / job_id, settings.datasets_folder / job_id):
            if (folder / SHEET).is_file():
                return FileResponse(folder / SHEET, media_type="image/png")
        raise Missing(f"job {job_id} has drawn no sheet yet", code="no_sheet")


async def _find(request: Request, job_id: str, kind: str) -> Any:
    """Raises Missing (`unknown_job`), also for a job of another kind."""
    row = await queue_of(request).get(job_id)
    if row.kind != kind:
        raise Missing(f"job {job_id} is no {kind}", code="unknown_job")
    return row
