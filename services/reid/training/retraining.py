"""The job reid.train: labelled people, made ones -> a candidate -> a contest -> the gallery's model

A process that dies is followed by another, which goes on from the last checkpoint; the plan, the
contest and the result lie in the job's folder, so that nothing is done twice with another outcome.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import cv2
import torch

from services.reid.core.contest import contest
from services.reid.gallery.switching import serving_model, switch_to
from services.reid.settings import ReidSettings
from services.reid.training.made import read_made
from services.reid.training.rivals import Training, ranking_of, settings_for
from services.reid.training.roster import Roster
from services.reid.training.trainer import features_of, held_out_ranking
from services.reid.training.winner import Origin, root_of, share_not_learnt, store_winner
from shared.courtesy import Courtesy, patiently
from shared.durable_file import write_durably
from shared.made_data import MadeData, Outcome, Verdict
from shared.model_store import ModelStore
from shared.topics import Group

if TYPE_CHECKING:
    from pathlib import Path

    from services.reid.core.contest import Contest, Gain
    from services.reid.core.evaluation import Ranking
    from services.reid.retraining import RetrainingParams
    from services.reid.training.schedule import Progress
    from services.reid.training.trainer import Trainer
    from shared.jobs import JobContext

TRAINED = 0.9
"""Of the job's progress, when the last step is done."""


@dataclass(frozen=True)
class Plan:
    """Settled once for a job. base: the model that serves when it begins. name: of the model that
    it makes."""

    base: str
    name: str


def retrain(params: RetrainingParams, context: JobContext) -> dict[str, Any]:
    """Raises Missing (`no_manifest`), Corrupt, Malformed (`not_persons`, `made_labels`,
    `crop_name`), Conflict (`too_few_people`, `not_trainable`)."""
    done = context.folder / "result.json"
    if done.exists():
        return _read(done)
    settings = ReidSettings()
    cv2.setNumThreads(1)
    torch.set_num_threads(settings.training_threads)
    judged = context.folder / "judged.json"
    if not judged.exists():
        write_durably(judged, json.dumps(_judge(params, context, settings)).encode())
    result = _read(judged) | {"activated": False}
    if result["better"] and params.activate:
        model = ModelStore(*settings.model_folders).load(result["model"])
        context.report(TRAINED, 1, "asks the gallery for the new model's vectors")
        fault = switch_to(model, settings, context, instead_of=result["base"])
        result |= {"activated": not fault, "why_not": [fault] if fault else []}
    write_durably(done, json.dumps(result).encode())
    for leftover in context.folder.glob("*.pt"):
        leftover.unlink()
    return result


def _judge(params: RetrainingParams, context: JobContext, settings: ReidSettings) -> dict[str, Any]:
    store = ModelStore(*settings.model_folders)
    plan = _plan(params, context, settings, store)
    base = store.load(plan.base)
    context.report(0, 1, "reads and verifies the data sets")
    roster = Roster.read(
        settings.datasets_folder / params.labelled, params.held_out, share_not_learnt(base.card)
    )
    goes_on_from = base if params.start == "active" else None
    wanted = settings_for(goes_on_from.card if goes_on_from else None, roster.learnt, params)
    folders = [settings.datasets_folder / one for one in params.made]
    made = read_made(folders, roster.learnt) if folders else None
    origin = Origin(
        plan.name,
        base,
        context.job_id,
        params,
        roster,
        [MadeData.read(folder, verified=False) for folder in folders],
    )
    training = Training(wanted, roster.learnt, goes_on_from)
    has_control = made is not None and params.control
    with _Reporter(context, settings, trainings=1 + has_control) as reporter:
        candidate = training.run(made, context.folder / "candidate.pt", reporter.first)
        control = (
            training.run(None, context.folder / "control.pt", reporter.second)
            if has_control
            else None
        )
    context.report(TRAINED, 1, f"contest: {len(roster.held_out)} crops of people held out")
    found = contest(
        ranking_of(base, roster.held_out),
        _ranking(candidate, roster),
        _ranking(control, roster) if control else None,
    )
    context.checkpoint()
    if found.is_won:
        store_winner(candidate, found, origin, store, context.folder)
    if found.made_gain is not None:
        _judge_made(origin, found, found.made_gain)
    return _result(plan, origin, found)


def _plan(
    params: RetrainingParams, context: JobContext, settings: ReidSettings, store: ModelStore
) -> Plan:
    path = context.folder / "plan.json"
    if not path.exists():
        base = patiently(lambda: serving_model(settings), context)
        root = root_of(store.load(base).card) if params.start == "active" else params.network
        write_durably(path, json.dumps(asdict(Plan(base, _free_name(store, root)))).encode())
    return Plan(**_read(path))


def _free_name(store: ModelStore, root: str) -> str:
    """ROOT-own-N. No name is used twice: the history of activations knows models by them."""
    stem = f"{root}-own-"
    numbers = [name.removeprefix(stem) for name in store.names if name.startswith(stem)]
    newest = max((int(number) for number in numbers if number.isdecimal()), default=0)
    return f"{stem}{newest + 1}"


def _ranking(trainer: Trainer, roster: Roster) -> Ranking:
    return held_out_ranking(features_of(trainer, roster.held_out), roster.held_out)


class _Reporter:
    """Steps of one or two trainings -> the job's progress; where it stops, and stands still."""

    def __init__(self, context: JobContext, settings: ReidSettings, *, trainings: int) -> None:
        self._context = context
        self._trainings = trainings
        self._courtesy = Courtesy(settings, Group.REID, settings.training_waits_at)

    def __enter__(self) -> _Reporter:
        return self

    def __exit__(self, *_: object) -> None:
        self._courtesy.close()

    def first(self, progress: Progress) -> None:
        self._step(progress, 0, "")

    def second(self, progress: Progress) -> None:
        self._step(progress, 1, ", without made data")

    def _step(self, progress: Progress, before: int, what: str) -> None:
        epochs = progress.epoch + progress.step / progress.steps
        share = (before + epochs / progress.epochs) / self._trainings
        loss = sum(value for name, value in progress.losses.items() if name != "accuracy")
        self._context.report(
            TRAINED * share,
            1,
            f"epoch {progress.epoch + 1}/{progress.epochs}, step {progress.step}/{progress.steps}"
            f"{what}: loss {loss:.3f}",
        )
        self._context.checkpoint()
        self._courtesy.yield_to_clips(self._context)


def _judge_made(origin: Origin, found: Contest, gain: Gain) -> None:
    """Writes into the manifests what made data was worth, a loss as well as a gain. A data set that
    was deleted meanwhile is not missed."""
    others = f", {len(origin.made)} made data sets together" if len(origin.made) > 1 else ""
    without = found.without_made.map if found.without_made else 0.0
    verdict = Verdict(
        outcome=outcome_of(gain),
        measured_on=(
            f"{found.queries} queries of {found.people} held-out people of"
            f" {origin.roster.data.manifest.name}{others} (job {origin.job_id})"
        ),
        figures={
            "map_with": found.candidate.map,
            "map_without": without,
            "map_gain": gain.mean,
            "map_gain_low": gain.low,
            "map_gain_high": gain.high,
        },
    )
    for data in origin.made:
        if data.folder.is_dir():
            data.judged(verdict=verdict)


def outcome_of(gain: Gain) -> Outcome:
    return Outcome.GAIN if gain.low > 0 else Outcome.NO_GAIN


def _result(plan: Plan, origin: Origin, found: Contest) -> dict[str, Any]:
    roster = origin.roster
    return {
        "base": plan.base,
        "model": plan.name if found.is_won else None,
        "better": found.is_won,
        "why_not": list(found.faults),
        "made": None if found.made_gain is None else outcome_of(found.made_gain).value,
        "people_learnt": roster.learnt.identities,
        "people_held_out": roster.held_out.identities,
        "contest": asdict(found) | {"faults": list(found.faults)},
    }


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found
