"""The jobs of the re-ID service, as they are asked for: cameras -> a data set of them; people -> a
model that knows them better; a model's name -> the model that serves."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.jobs import JobContext, JobKind

if TYPE_CHECKING:
    from collections.abc import Collection

NOT_INSTALLED = (
    "this re-ID service is installed without PyTorch, so it cannot train: install the extra"
    " `train` (pip install -c constraints.txt -e '.[train]') and start it again"
)
NOT_ITS_ROLE = (
    "this re-ID service does no jobs: ask one whose REID_ROLES name `train` (in the composition:"
    " docker compose --profile training up -d)"
)

DataSetId = Annotated[str, Field(pattern=r"^[0-9A-HJKMNP-TV-Z]{26}$")]
CameraName = Annotated[str, Field(min_length=1, max_length=64)]
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]


class CollectingParams(BaseModel):
    """Which cameras, and what of them.

    labelled: the data set of real people, of kind persons. cameras: classes of that data set (c1,
    c2...), or else live cameras. held_out: share of the labelled people whom a training leaves out,
    and who are left out here. crops: of each live camera, at most. height, width: of those.
    """

    model_config = ConfigDict(extra="forbid")

    labelled: DataSetId
    cameras: Annotated[tuple[CameraName, ...], Field(min_length=1, max_length=32)]
    held_out: Annotated[float, Field(ge=0.1, le=0.5)] = 0.25
    crops: Annotated[int, Field(ge=1, le=5000)] = 500
    height: Annotated[int, Field(ge=8, le=64)] = 32
    width: Annotated[int, Field(ge=8, le=64)] = 16


class RetrainingParams(BaseModel):
    """Which people to learn from, and what is wagered on it.

    labelled: the data set of real people, of kind persons. made: data sets of made ones, to learn
    from beside them; whom nothing is learnt from is left out of these, too. start: `active` goes on
    from the model that serves, `scratch` from chance, with `network`. epochs: times that every
    labelled crop is seen. held_out: share of the labelled people who are only asked for.
    control: with made data, the same training without it, to tell what that is worth.
    activate: the winner serves all cameras once the gallery has its vectors.
    """

    model_config = ConfigDict(extra="forbid")

    labelled: DataSetId
    made: Annotated[tuple[DataSetId, ...], Field(max_length=8)] = ()
    start: Literal["active", "scratch"] = "active"
    network: Literal["msp-cnn", "osnet"] = "msp-cnn"
    epochs: Annotated[int, Field(ge=1, le=200)] = 4
    learning_rate: Annotated[float, Field(gt=0, le=0.01)] | None = None
    held_out: Annotated[float, Field(ge=0.1, le=0.5)] = 0.25
    control: bool = True
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    activate: bool = True


class SwitchParams(BaseModel):
    """model: that is to serve all cameras, such as the one before."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model: ModelName


def why_not_here(roles: Collection[str]) -> str:
    """Why this process does no jobs, and the cure; empty where it does."""
    if "train" not in roles:
        return NOT_ITS_ROLE
    return "" if find_spec("torch") else NOT_INSTALLED


def collect(params: CollectingParams, context: JobContext) -> dict[str, Any]:
    """By name, as what follows: the room that writes data sets trains, too."""
    room = import_module("services.reid.training.collecting")
    result: dict[str, Any] = room.collect(params, context)
    return result


def retrain(params: RetrainingParams, context: JobContext) -> dict[str, Any]:
    """By name, in the job's own process: serving never imports torch."""
    room = import_module("services.reid.training.retraining")
    result: dict[str, Any] = room.retrain(params, context)
    return result


def switch(params: SwitchParams, context: JobContext) -> dict[str, Any]:
    """By name as well: the kinds of jobs lie below the gallery that a switch concerns."""
    room = import_module("services.reid.gallery.switching")
    result: dict[str, Any] = room.switch(params, context)
    return result


KINDS: dict[str, JobKind] = {
    "reid.collect": JobKind(
        CollectingParams,
        collect,
        "Puts labelled people, and small crops of live cameras, into a data set to learn styles of",
    ),
    "reid.train": JobKind(
        RetrainingParams,
        retrain,
        "Trains on labelled people, with made ones beside them, and switches where that is better",
    ),
    "reid.switch": JobKind(
        SwitchParams,
        switch,
        "Has a model serve all cameras, once the gallery has its vectors and they are verified",
    ),
}
