"""/v1/adaptations: a re-ID model of this city's own, from labelled and made people, and back."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Header, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.gateway.api.dependencies import Admin, CityDep, Cursor, Limit
from services.gateway.city import City
from services.gateway.core.adaptation import Stage
from services.gateway.store import adaptations, audit, idempotency
from services.gateway.store.adaptation_tables import AdaptationRow
from services.gateway.store.resources import moment
from shared.auth import Principal
from shared.clock import from_us
from shared.errors import Conflict, Malformed, Missing
from shared.jobs import JobState
from shared.model_store import ActivationMap
from shared.paging import Page
from shared.person_changes import Purpose, Why

router = APIRouter(prefix="/v1/adaptations", tags=["models"])

DataSetId = Annotated[str, Field(pattern=r"^[0-9A-HJKMNP-TV-Z]{26}$")]
CameraName = Annotated[str, Field(min_length=1, max_length=64)]


class StyleAsked(BaseModel):
    """cameras: as which labelled people are to be made: classes of the labelled data set (c1,
    c2...), else cameras of the city, of which re-ID has stored crops of its own. live_crops: of
    each of the latter, at most, to learn from. steps: of learning, all cameras in one network.
    crops: that are made, or fewer where there are not so many to make them of."""

    model_config = ConfigDict(extra="forbid")

    cameras: Annotated[tuple[CameraName, ...], Field(min_length=1, max_length=8)]
    live_crops: Annotated[int, Field(ge=16, le=5000)] = 1000
    steps: Annotated[int, Field(ge=1, le=100_000)] = 1000
    crops: Annotated[int, Field(ge=1, le=50_000)] = 2000


class AdaptationAsked(Why):
    """labelled: data set of real people, of kind persons. style: made ones, to learn from beside
    them, are made by this very call; or made: data sets of such (`POST /v1/datasets` and
    `/v1/generations` of the synthetic service); without either real people are all. start:
    `active` goes on from the model that serves, `scratch` from chance, with `network`. epochs:
    times that every labelled crop is seen. learning_rate: null for the usual one. held_out: share
    of the labelled people whom nothing is learnt from, so that the models can be compared on them.
    control: with made data, the same training without it, which tells what that is worth.
    activate: a winner serves all cameras once the gallery has its vectors."""

    model_config = ConfigDict(extra="forbid")

    labelled: DataSetId
    style: StyleAsked | None = None
    made: Annotated[tuple[DataSetId, ...], Field(max_length=8)] = ()
    start: Literal["active", "scratch"] = "active"
    network: Literal["msp-cnn", "osnet"] = "msp-cnn"
    epochs: Annotated[int, Field(ge=1, le=200)] = 4
    learning_rate: Annotated[float, Field(gt=0, le=0.01)] | None = None
    held_out: Annotated[float, Field(ge=0.1, le=0.5)] = 0.25
    control: bool = True
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    activate: bool = True

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.style is not None and self.made:
            raise ValueError("a style makes the made data set: leave out `made`, or `style`")
        return self


class Adaptation(BaseModel):
    """A change of the re-ID model. kind: `train`, or `switch` for what a rollback has begun. stage:
    `collect`, `learn`, `generate`, `train`, or `switch`: the one that is under way, or was the
    last; done: results of those before. progress: of them all. by: the id of a key.

    result: of a training whether it was `better`, else `why_not`; `activated`; the new `model` and
    its `base`; `made`: whether made data brought a `gain` or `no_gain`; `contest`: the figures;
    `style`: what people were made by. Of a switch the models `before` and `after`, and `why_not`
    where they are the same. error: of one that failed, the stage and what went wrong there.
    """

    id: str
    kind: Literal["train", "switch"]
    asked: dict[str, Any]
    state: JobState
    stage: Stage
    job_id: str | None
    done: dict[str, Any]
    progress: float
    note: str
    result: dict[str, Any] | None
    error: str | None
    cancel_requested: bool
    by: str
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, row: AdaptationRow) -> Self:
        return cls(
            id=row.id,
            kind="switch" if row.stage == Stage.SWITCH else "train",
            asked=row.asked,
            state=JobState(row.state),
            stage=Stage(row.stage),
            job_id=row.job_id,
            done=row.done,
            progress=row.progress,
            note=row.note,
            result=row.result,
            error=row.error,
            cancel_requested=row.stop_reason is not None,
            by=row.actor,
            created_at=from_us(row.created_us),
            finished_at=moment(row.finished_us),
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
    switches to it only where it is better; `Location` tells where to watch it. With `style` it
    first learns how cameras see and makes the people as they would see them. It is recorded who
    asked, and why. 422 (`unknown_camera`) for a camera that neither the data set nor the city has;
    503 (`not_installed`) where nothing is installed that trains."""
    await city.adapting.check()
    if asked.style is not None:
        await _check_style(principal, city, asked.labelled, asked.style)
    params = asked.model_dump(mode="json", exclude={"purpose"})
    await _record(city, principal.key_id, "models.adapt", asked.purpose, params)
    return await _begun(principal, city, response, params, idempotency_key)


@router.get("")
async def list_adaptations(
    _: Admin, city: CityDep, limit: Limit = 100, cursor: Cursor = None
) -> Page[Adaptation]:
    """The newest first, those that have ended too."""
    async with city.database.reading() as session:
        rows = await adaptations.newest(session, limit + 1, cursor)
    return Page.of([Adaptation.of(row) for row in rows], limit, key=lambda one: one.id)


@router.get("/{adaptation_id}")
async def get_adaptation(_: Admin, city: CityDep, adaptation_id: str) -> Adaptation:
    async with city.database.reading() as session:
        return Adaptation.of(await adaptations.find(session, adaptation_id))


@router.delete("/{adaptation_id}", status_code=202)
async def cancel_adaptation(principal: Admin, city: CityDep, adaptation_id: str) -> Adaptation:
    """Asks the stage under way to stop. Which model serves stays as it is, and nothing stays of
    what was collected."""
    async with city.database.writing() as session:
        row = await adaptations.find(session, adaptation_id, lock=True)
        if not JobState(row.state).is_final:
            row.stop_reason = row.stop_reason or f"cancelled by {principal.key_id}"
        return Adaptation.of(row)


@router.post("/{adaptation_id}/rollback", status_code=202)
async def roll_back_adaptation(
    principal: Admin, city: CityDep, response: Response, adaptation_id: str, asked: Why
) -> Adaptation:
    """Has the model of before serve again, once the gallery has its vectors of whoever was seen
    since. 409 (`nothing_to_roll_back`) where what it made does not serve."""
    async with city.database.reading() as session:
        result = (await adaptations.find(session, adaptation_id)).result or {}
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
    return await _begun(principal, city, response, params, None)


async def _check_style(principal: Principal, city: City, labelled: str, asked: StyleAsked) -> None:
    """Raises Unavailable (`not_installed`), Missing (`unknown_dataset`), Malformed
    (`unknown_camera`), Denied."""
    await city.studio.check()
    classes = await city.studio.classes(labelled)
    for camera_id in (name for name in asked.cameras if name not in classes):
        principal.check_camera(camera_id)
        try:
            await city.registry.get(camera_id)
        except Missing as error:
            raise Malformed(
                f"{camera_id!r} is neither a camera of data set {labelled}, which has"
                f" {', '.join(classes)}, nor one of this city",
                code="unknown_camera",
            ) from error


async def _begun(
    principal: Principal, city: City, response: Response, params: dict[str, Any], key: str | None
) -> Adaptation:
    """key: of the caller; the same one begins the same."""
    digest = hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()
    async with city.database.writing() as session:
        known = await idempotency.recall(session, "adaptations", key, digest)
        if known is None:
            row = await adaptations.begin(session, params, principal.key_id)
            await idempotency.remember(session, "adaptations", key, digest, row.id)
        else:
            row = await adaptations.find(session, known)
        begun = Adaptation.of(row)
    response.headers["Location"] = f"/v1/adaptations/{begun.id}"
    return begun


async def _record(
    city: City, actor: str, action: str, purpose: Purpose, details: dict[str, Any]
) -> None:
    await audit.record(
        city.database, actor=actor, action=action, purpose=purpose, image=None, details=details
    )
