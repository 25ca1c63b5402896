"""The jobs system.train and style.learn, as they are asked for: a data set -> a stored model."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from shared.jobs import JobContext, JobKind

NOT_INSTALLED = (
    "this synthetic service is installed without PyTorch, so it neither trains nor makes images:"
    " install the extra `train` (pip install -c constraints.txt -e '.[cpu,train]') and start it"
    " again (in the composition: docker compose --profile training up -d, and ask `studio`)"
)

ModelName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
DatasetId = Annotated[str, Field(pattern=r"^[0-9A-HJKMNP-TV-Z]{26}$")]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) < len(names):
        raise ValueError("a class is named once")
    return names


Classes = Annotated[tuple[str, ...], AfterValidator(_each_once)]


class LearningParams(BaseModel):
    """What is learnt from, and how long.

    model: the name that the result gets in the store. settings: of the system, but for those that
    the data decide. height, width: to which its pictures are brought, such as small ones for a
    style; null: as the first is. average: how much of the moving average of the weights stays at
    each step. licence: of the model, beside that of its data.
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    dataset_id: DatasetId
    model: ModelName
    settings: dict[str, bool | int | float | str] = Field(default_factory=dict)
    height: Annotated[int, Field(ge=8, le=1024)] | None = None
    width: Annotated[int, Field(ge=8, le=1024)] | None = None
    steps: Annotated[int, Field(ge=1, le=1_000_000)] = 2000
    batch: Annotated[int, Field(ge=2, le=1024)] = 32
    average: Annotated[float, Field(ge=0, lt=1)] = 0.999
    seed: Seed = 0
    licence: Annotated[str, Field(min_length=1, max_length=256)] = "research use"


class TrainingParams(LearningParams):
    """system: one of `GET /v1/systems`. classes: whose pictures are learnt from; none: all."""

    system: str
    classes: Classes = ()


class StyleParams(LearningParams):
    """How cameras see. cameras: classes of the data set, two or more; none: all of them. system:
    stargan learns all cameras in one network, the others one pair, from the first to the second."""

    system: Literal["stargan", "camstyle", "ptgan", "spgan"] = "stargan"
    cameras: Classes = ()

    def training(self) -> TrainingParams:
        told = self.model_dump(exclude={"cameras"})
        return TrainingParams(**told, classes=self.cameras)


def why_not_here() -> str:
    """Why this process cannot train, and the cure; empty where it can."""
    return "" if find_spec("torch") else NOT_INSTALLED


def learn(params: TrainingParams, context: JobContext) -> dict[str, Any]:
    """By name, in the job's own process: serving never imports torch."""
    room = import_module("services.synthetic.training.learning")
    result: dict[str, Any] = room.learn(params, context)
    return result


def learn_style(params: StyleParams, context: JobContext) -> dict[str, Any]:
    return learn(params.training(), context)


SYSTEM_TRAIN = JobKind(TrainingParams, learn, "Trains a system on a data set, for the model store")
STYLE_LEARN = JobKind(StyleParams, learn_style, "Learns the styles of cameras from their pictures")
