"""The job images.generate, as it is asked for: a stored model -> a made data set."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.synthetic.learning import DatasetId, ModelName, Seed
from shared.errors import Malformed
from shared.jobs import JobContext, JobKind
from shared.made_data import LabelPolicy

if TYPE_CHECKING:
    from shared.model_store import ModelCard

LEAST_MEASURED = 6
"""Pictures of a side that have a fifth neighbour each."""

AXES = 4
"""Of a batch of pictures."""

MAKERS_INPUTS = frozenset({"noise", "contents", "styles", "images", "targets"})

CameraClass = Annotated[str, Field(pattern=r"^c[0-9]{1,9}$")]


class GenerationParams(BaseModel):
    """What is made, and of what.

    n: pictures. name: of the data set. dataset_id: of the pictures whose contents or styles are
    drawn, or which are translated, where the model needs some. targets: cameras in whose style its
    people are made, such as c7; none: all that the model knows. label_policy, epsilon: what a
    trainer is to do with the labels; null: what suits them. extractor: a stored model of rgb
    pictures by whose features the made ones are measured beside those of the data set; null: they
    are not. licence: null: the model's.
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model: ModelName
    n: Annotated[int, Field(ge=1, le=100_000)]
    name: Annotated[str, Field(min_length=1, max_length=128)]
    seed: Seed = 0
    dataset_id: DatasetId | None = None
    targets: Annotated[tuple[CameraClass, ...], Field(max_length=64)] = ()
    label_policy: LabelPolicy | None = None
    epsilon: Annotated[float, Field(ge=0, le=1)] | None = None
    extractor: ModelName | None = None
    licence: Annotated[str, Field(min_length=1, max_length=256)] | None = None

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if (self.label_policy is LabelPolicy.LSR) != (self.epsilon is not None):
            raise ValueError("label policy lsr, and no other, has an epsilon")
        if self.extractor is not None and self.dataset_id is None:
            raise ValueError("made pictures are measured beside a data set: name one")
        if self.targets and self.dataset_id is None:
            raise ValueError("people of a data set are made in the style of targets: name one")
        return self


def check_extractor(card: ModelCard) -> None:
    """Raises Malformed (`no_extractor`) for a model that takes more than rgb pictures, or makes
    pictures of them."""
    makes = not MAKERS_INPUTS.isdisjoint(card.settings.get("inputs", ()))
    if makes or card.input.colour != "rgb" or len(card.input.shape) != AXES:
        raise Malformed(
            f"model {card.name} does not take rgb pictures alone, to give their features",
            code="no_extractor",
        )


def generate(params: GenerationParams, context: JobContext) -> dict[str, Any]:
    """By name, in the job's own process: serving never imports torch."""
    room = import_module("services.synthetic.training.generating")
    result: dict[str, Any] = room.generate(params, context)
    return result


IMAGES_GENERATE = JobKind(GenerationParams, generate, "Makes a data set by a stored model")
