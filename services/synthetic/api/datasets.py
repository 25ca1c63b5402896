"""/v1/datasets: pictures to learn from, uploaded or made; each a folder with a manifest."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Self

import structlog
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse

from services.synthetic.api.orders import IdempotencyKey, Limit, settings_of, shelf_of
from services.synthetic.shelf import archived
from services.synthetic.uploads.archive import UploadLimits
from services.synthetic.uploads.receiving import receive
from services.synthetic.uploads.unpacking import Upload
from shared.errors import Corrupt, Missing
from shared.jobs_api import READS, WRITES
from shared.made_data import SHEET, DataKind, MadeData, MadeManifest
from shared.paging import Page

if TYPE_CHECKING:
    from services.synthetic.shelf import Shelf

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/v1/datasets", tags=["synthetic"])

ARCHIVE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/zip": {"schema": {"type": "string", "format": "binary"}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


class Dataset(MadeManifest):
    """A data set: its id, and its manifest."""

    id: str

    @classmethod
    def of(cls, data: MadeData) -> Self:
        return cls(id=data.folder.name, **data.manifest.model_dump())


@router.post("", status_code=201, openapi_extra=ARCHIVE_BODY, dependencies=[WRITES])
async def create_dataset(
    request: Request,
    response: Response,
    name: Annotated[str, Query(min_length=1, max_length=128)],
    kind: DataKind = DataKind.PICTURES,
    licence: Annotated[str, Query(min_length=1, max_length=256)] = "unstated",
    idempotency_key: IdempotencyKey = None,
) -> Dataset:
    """Registers pictures: a .zip of FILEs or of CLASS/FILEs, .png and .jpg; an .npz with `images`
    (N, H, W) or (N, H, W, 3) uint8, `labels` and `classes`; or an archive that was fetched here.

    415: `not_an_archive`. 413: `body_too_large`, `unpacked_too_large`, `too_many_pictures`. 422:
    `too_few_pictures`, `not_pictures`, `bad_file_name`, `archive_broken`, `not_persons`,
    `synthetic_image` (made pictures come with their manifest, or not at all), `file_checksum`,
    `counts_differ`. 409: `conflict` where the key was used for another, `in_progress` where its
    first order is at work. 503: `disk_full`. Nothing of a refused archive stays.
    """
    settings = settings_of(request)
    limits = UploadLimits(settings.dataset_max_unpacked_bytes, settings.dataset_max_pictures)
    data = await receive(
        request.stream(),
        shelf_of(request),
        Upload(name, kind, licence),
        limits,
        idempotency_key,
    )
    response.headers["Location"] = f"/v1/datasets/{data.folder.name}"
    return Dataset.of(data)


@router.get("", dependencies=[READS])
async def list_datasets(
    request: Request, limit: Limit = 100, cursor: str | None = None
) -> Page[Dataset]:
    """The newest first; one whose manifest is broken is left out, and told in the log."""
    found = await asyncio.to_thread(_newest, shelf_of(request), limit + 1, cursor)
    return Page.of(found, limit, key=lambda dataset: dataset.id)


def _newest(shelf: Shelf, limit: int, before: str | None) -> list[Dataset]:
    found: list[Dataset] = []
    for one in shelf.ids:
        if before is not None and one >= before:
            continue
        try:
            found.append(Dataset.of(shelf.get(one)))
        except Missing:
            continue  # it has just been deleted
        except Corrupt as error:
            log.warning("dataset_broken", dataset_id=one, error=str(error))
        if len(found) == limit:
            break
    return found


@router.get("/{dataset_id}", dependencies=[READS])
async def get_dataset(request: Request, dataset_id: str) -> Dataset:
    """Its manifest. 404: `unknown_dataset`."""
    return Dataset.of(await asyncio.to_thread(shelf_of(request).get, dataset_id))


@router.get(
    "/{dataset_id}/sheet.png",
    dependencies=[READS],
    response_class=FileResponse,
    responses={200: {"content": {"image/png": {}}}},
)
async def get_sheet(request: Request, dataset_id: str) -> FileResponse:
    """Some of its pictures. 404: `unknown_dataset`, `no_sheet`."""
    data = await asyncio.to_thread(shelf_of(request).get, dataset_id)
    for folder in (data.folder, settings_of(request).jobs_folder / dataset_id):
        if (folder / SHEET).is_file():
            return FileResponse(folder / SHEET, media_type="image/png")
    raise Missing(f"data set {dataset_id} has no sheet", code="no_sheet")


@router.get(
    "/{dataset_id}/archive.zip",
    dependencies=[READS],
    response_class=StreamingResponse,
    responses={200: {"content": {"application/zip": {}}}},
)
async def get_archive(request: Request, dataset_id: str) -> StreamingResponse:
    """All of it, as a zip that POST /v1/datasets takes again. 404: `unknown_dataset`."""
    data = await asyncio.to_thread(shelf_of(request).get, dataset_id)
    named = {"Content-Disposition": f'attachment; filename="{dataset_id}.zip"'}
    return StreamingResponse(archived(data), media_type="application/zip", headers=named)


@router.delete("/{dataset_id}", status_code=204, dependencies=[WRITES])
async def delete_dataset(request: Request, dataset_id: str) -> None:
    """Jobs that have read it go on; one that is to read it fails. 404: `unknown_dataset`."""
    await asyncio.to_thread(shelf_of(request).remove, dataset_id)
