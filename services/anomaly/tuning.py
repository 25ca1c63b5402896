"""The job camera.train, as it is asked for: a camera's own footage -> weights of its own."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from shared.jobs import JobContext, JobKind
from shared.messages import Polygon
from shared.recorded_clip import HELD_OUT

if TYPE_CHECKING:
    from collections.abc import Collection

NOT_INSTALLED = (
    "this anomaly service is installed without PyTorch, so it cannot train: install the extra"
    " `train` (pip install -c constraints.txt -e '.[train]') and start it again"
)
NOT_ITS_ROLE = (
    "this anomaly service does not train: ask one whose ANOMALY_ROLES name `train` (in the"
    " composition: docker compose --profile training up -d)"
)


class TuningParams(BaseModel):
    """Which camera, and what footage of it.

    footage: key below which its recorded clips lie. fps: of these. unwatched: where nothing counts.
    steps: of fine-tuning. held_out: share of the footage, its end, that nothing is learnt from.
    activate: the winner serves the camera from then on.
    """

    model_config = ConfigDict(extra="forbid")

    camera_id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    footage: str
    fps: Annotated[float, Field(gt=0)]
    unwatched: tuple[Polygon, ...] = ()
    steps: Annotated[int, Field(ge=1, le=20_000)] = 600
    learning_rate: Annotated[float, Field(gt=0, le=0.01)] = 2e-4
    held_out: Annotated[float, Field(ge=0.1, le=0.5)] = HELD_OUT
    seed: Annotated[int, Field(ge=0)] = 0
    activate: bool = True


def why_not_here(roles: Collection[str]) -> str:
    """Why this process cannot train, and the cure; empty where it can."""
    if "train" not in roles:
        return NOT_ITS_ROLE
    return "" if find_spec("torch") else NOT_INSTALLED


def tune(params: TuningParams, context: JobContext) -> dict[str, Any]:
    """By name, in the job's own process: serving never imports torch."""
    room = import_module("services.anomaly.training.tuning")
    result: dict[str, Any] = room.tune(params, context)
    return result


CAMERA_TRAIN = JobKind(
    TuningParams,
    tune,
    "Fine-tunes the anomaly model on a camera's own footage, and activates it where it is better",
)
