"""/v1/adaptations: a re-ID model of this city's own, from labelled and made people, and back."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Header, Path, Response
from pydantic import BaseModel, ConfigDict, Field
from ulid import ULID

from services.gateway.api.dependencies import Admin, CityDep, Cursor, Limit
from services.gateway.store import audit
from shared.errors import Conflict
from shared.jobs import JobState
from shared.jobs_api import Job
from shared.model_store import ActivationMap
from shared.paging import Page
from shared.person_changes import Purpose, Why

router = APIRouter(prefix="/v1/adaptations", tags=["models"])

TRAIN, SWITCH = "reid.train", "reid.switch"

DataSetId = Annotated[str, Field(pattern=r"^[0-9A-HJKMNP-TV-Z]{26}$")]
Id = Annotated[str, Path(pattern=r"^[0-9A-Za-z]{1,26}$")]
"""It becomes part of an address at the re-ID service."""


class AdaptationAsked(Why):
    """labelled: data set of real people, of kind persons; made: data sets of made ones, to learn
    from beside them (`POST /v1/datasets` and `/v1/generations` of the synthetic service). start:
    `active` goes on from the model that serves, `scratch` from chance, with `network`. epochs:
    times that every labelled crop is seen. learning_rate: null for the usual one. held_out: share
    of the labelled people whom nothing is learnt from, so that the models can be compared on them.
    control: with made data, the same training without it, which tells what that is worth.
    activate: a winner serves all cameras once the gallery has its vectors."""

    model_config = ConfigDict(extra="forbid")

    labelled: DataSetId
    made: Annotated[tuple[DataSetId, ...], Field(max_length=8)] = ()
    start: Literal["active", "scratch"] = "active"
    network: Literal["msp-cnn", "osnet"] = "msp-cnn"
    epochs: Annotated[int, Field(ge=1, le=200)] = 4
    learning_rate: Annotated[float, Field(gt=0, le=0.01)] | None = None
    held_out: Annotated[float, Field(ge=0.1, le=0.5)] = 0.25
    control: bool = True
    seed: Annotated[int, Field(ge=0)] = 0
    activate: bool = True


class Adaptation(BaseModel):
    """A change of the re-ID model. kind: `train`, or `switch` for what a rollback has begun.

    result: of a training whether it was `better`, else `why_not`; `activated`; the new `model` and
    its `base`; `made`: whether made data brought a `gain` or `no_gain`; `contest`: the figures. Of
    a switch the models `before` and `after`, and `why_not` where they are the same.
    """

    id: str
    kind: Literal["train", "switch"]
    asked: dict[str, Any]
    state: JobState
    progress: float
    note: str
    result: dict[str, Any] | None
    error: str | None
    cancel_requested: bool
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, job: Job) -> Self:
        return cls(
            id=job.id,
            kind="switch" if job.kind == SWITCH else "train",
            asked=job.params,
            state=job.state,
            progress=job.progress,
            note=job.note,
            result=job.result,
            error=job.error,
            cancel_requested=job.cancel_requested,
            created_at=job.created_at,
            finished_at=job.finished_at,
        )


@router.post("", status_code=202)
async def adapt(
    principal: Admin,
    city: CityDep,
    response: Response,
    asked: AdaptationAsked,
    idempotency_key: Annotated[str | None, Header(max_length=100)] = None,
) -> Adaptation:
    """Trains a candidate, lets it compete with the model that serves on people held out, and
    switches to it only where it is better; `Location` tells where to watch it. It is recorded who
    asked, and why. 503 (`not_installed`) where nothing is installed that trains."""
    await city.adapting.check()
    params = asked.model_dump(mode="json", exclude={"purpose"})
    await _record(city, principal.key_id, "models.adapt", asked.purpose, params)
    return await _begun(city, response, TRAIN, params, idempotency_key)


@router.get("")
async def list_adaptations(
    _: Admin, city: CityDep, limit: Limit = 100, cursor: Cursor = None
) -> Page[Adaptation]:
    """The newest first."""
    jobs = await city.adapting.newest(limit, cursor)
    return Page(items=[Adaptation.of(job) for job in jobs.items], next_cursor=jobs.next_cursor)


@router.get("/{adaptation_id}")
async def get_adaptation(_: Admin, city: CityDep, adaptation_id: Id) -> Adaptation:
    return Adaptation.of(await city.adapting.get(adaptation_id))


@router.delete("/{adaptation_id}", status_code=202)
async def cancel_adaptation(_: Admin, city: CityDep, adaptation_id: Id) -> Adaptation:
    """Asks it to stop. Which model serves stays as it is."""
    return Adaptation.of(await city.adapting.cancel(adaptation_id))


@router.post("/{adaptation_id}/rollback", status_code=202)
async def roll_back_adaptation(
    principal: Admin, city: CityDep, response: Response, adaptation_id: Id, asked: Why
) -> Adaptation:
    """Has the model of before serve again, once the gallery has its vectors of whoever was seen
    since. 409 (`nothing_to_roll_back`) where what it made does not serve."""
    result = (await city.adapting.get(adaptation_id)).result or {}
    active = await ActivationMap(city.bus.redis, "reid").read()
    serving = active.get(ActivationMap.EVERY_CAMERA)
    if not result.get("activated") or result["model"] != serving:
        raise Conflict(
            f"the model that serves all cameras is none that adaptation {adaptation_id} has made",
            code="nothing_to_roll_back",
        )
    params = {"model": result["base"]}
    details = {"adaptation_id": adaptation_id, **params}
    await _record(city, principal.key_id, "models.roll_back", asked.purpose, details)
    return await _begun(city, response, SWITCH, params, None)


async def _begun(
    city: CityDep, response: Response, kind: str, params: dict[str, Any], key: str | None
) -> Adaptation:
    """key: of the caller; the same one begins the same."""
    job = await city.adapting.create(kind, params, f"adaptation/{key or ULID()}")
    response.headers["Location"] = f"/v1/adaptations/{job.id}"
    return Adaptation.of(job)


async def _record(
    city: CityDep, actor: str, action: str, purpose: Purpose, details: dict[str, Any]
) -> None:
    await audit.record(
        city.database, actor=actor, action=action, purpose=purpose, image=None, details=details
    )
