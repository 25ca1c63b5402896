"""The stages of an adaptation: what each one asks for, how much of the work it is, and what comes
out in the end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class Stage(StrEnum):
    """In their order; each is a job of another service."""

    COLLECT = "collect"
    """Labelled crops, and those of live cameras, become a data set whose classes are cameras."""
    LEARN = "learn"
    """A system learns how these cameras see."""
    GENERATE = "generate"
    """Labelled people are made as the cameras that were asked for would see them."""
    TRAIN = "train"
    """A candidate learns from real and made people, and competes with the model that serves."""
    SWITCH = "switch"
    """A model that is named serves again."""

    @property
    def is_of_the_studio(self) -> bool:
        """Whether the synthetic service does it; the re-ID service does the others."""
        return self in (Stage.LEARN, Stage.GENERATE)


JOB_KINDS = {
    Stage.COLLECT: "reid.collect",
    Stage.LEARN: "style.learn",
    Stage.GENERATE: "images.generate",
    Stage.TRAIN: "reid.train",
    Stage.SWITCH: "reid.switch",
}

WEIGHTS = {
    Stage.COLLECT: 1,
    Stage.LEARN: 30,
    Stage.GENERATE: 4,
    Stage.TRAIN: 65,
    Stage.SWITCH: 100,
}
"""Of the work, about: that of the usual settings on some thousand crops."""

SMALL = {"height": 32, "width": 16}
"""Pixels of the crops that a style is learnt from: it is of low frequency, and learning crops of
twice the side takes four times as long."""


@dataclass(frozen=True)
class Order:
    """A job, as it is asked for."""

    kind: str
    params: dict[str, Any]


def stages_of(asked: Mapping[str, Any]) -> tuple[Stage, ...]:
    """asked: by a user, or by a rollback, which names the `model` that is to serve."""
    if "model" in asked:
        return (Stage.SWITCH,)
    if asked.get("style") is None:
        return (Stage.TRAIN,)
    return (Stage.COLLECT, Stage.LEARN, Stage.GENERATE, Stage.TRAIN)


def stage_after(stage: Stage, asked: Mapping[str, Any]) -> Stage | None:
    stages = stages_of(asked)
    following = stages.index(stage) + 1
    return stages[following] if following < len(stages) else None


def progress_at(stage: Stage, share: float, asked: Mapping[str, Any]) -> float:
    """Of the whole, 0 to 1. share: of the stage that is done."""
    stages = stages_of(asked)
    before = sum(WEIGHTS[one] for one in stages[: stages.index(stage)])
    return (before + share * WEIGHTS[stage]) / sum(WEIGHTS[one] for one in stages)


def order_of(
    adaptation_id: str, stage: Stage, asked: Mapping[str, Any], done: Mapping[str, Any]
) -> Order:
    """The same for the same stage, however often it is asked. done: the results of the stages
    before, by their names."""
    return Order(JOB_KINDS[stage], _params(adaptation_id, stage, asked, done))


def result_of(asked: Mapping[str, Any], done: Mapping[str, Any]) -> dict[str, Any]:
    """Of an adaptation whose stages are all over: the last one's, and what it was made by."""
    last = stages_of(asked)[-1]
    result: dict[str, Any] = dict(done[last])
    if Stage.GENERATE in done:
        result["style"] = {
            "model": done[Stage.LEARN]["model"],
            "cameras": done[Stage.COLLECT]["cameras"],
            "made": done[Stage.GENERATE]["dataset_id"],
            "crops": done[Stage.GENERATE]["counts"]["pictures"],
        }
    return result


def _params(
    adaptation_id: str, stage: Stage, asked: Mapping[str, Any], done: Mapping[str, Any]
) -> dict[str, Any]:
    name = f"style-{adaptation_id.lower()}"
    match stage:
        case Stage.COLLECT:
            told = {field: asked[field] for field in ("labelled", "held_out")}
            style = asked["style"]
            return {**told, **SMALL, "cameras": style["cameras"], "crops": style["live_crops"]}
        case Stage.LEARN:
            return {
                "dataset_id": done[Stage.COLLECT]["dataset_id"],
                "model": name,
                "steps": asked["style"]["steps"],
                "seed": asked["seed"],
                **SMALL,
            }
        case Stage.GENERATE:
            collected = done[Stage.COLLECT]
            return {
                "dataset_id": collected["dataset_id"],
                "model": done[Stage.LEARN]["model"],
                "name": name,
                "n": min(asked["style"]["crops"], collected["ways"]),
                "targets": list(collected["cameras"].values()),
                "seed": asked["seed"],
            }
        case Stage.TRAIN:
            told = {field: value for field, value in asked.items() if field != "style"}
            if Stage.GENERATE in done:
                told["made"] = [done[Stage.GENERATE]["dataset_id"]]
            return told
        case Stage.SWITCH:
            return {"model": asked["model"]}
