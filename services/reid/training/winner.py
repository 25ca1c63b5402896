"""A training that has won its contest -> a model, its card telling what it was made of"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from services.reid.models.msp_cnn import UnitVectors
from services.reid.training.calibration import cross_camera_pairs, fit_identity_prior
from services.reid.training.card import Training as Told
from services.reid.training.card import card_of
from services.reid.training.export import export, verify
from services.reid.training.folding import fold
from services.reid.training.trainer import features_of, held_out_ranking

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from services.reid.core.contest import Contest
    from services.reid.retraining import RetrainingParams
    from services.reid.training.roster import Roster
    from services.reid.training.trainer import Trainer
    from shared.made_data import MadeData
    from shared.model_store import ModelCard, ModelStore, StoredModel


@dataclass(frozen=True)
class Origin:
    """base: which served when the job began, and which was gone on from unless `params` say
    otherwise."""

    name: str
    base: StoredModel
    job_id: str
    params: RetrainingParams
    roster: Roster
    made: Sequence[MadeData]

    @property
    def goes_on(self) -> bool:
        return self.params.start == "active"


def store_winner(
    trainer: Trainer, found: Contest, origin: Origin, store: ModelStore, folder: Path
) -> StoredModel:
    """folder: of the job, where the file is written first. Raises Corrupt (`export_differs`)."""
    vectors = features_of(trainer, origin.roster.held_out)
    file = folder / f"{origin.name}.onnx"
    unit = UnitVectors(trainer.network, trainer.shrink)
    if origin.goes_on:
        fold(trainer.network, trainer.objective.head_name, origin.base.path, file)
        verify(unit.cpu().eval(), file)
    else:
        export(unit, file)
    stored = store.save(_card(trainer, vectors, found, origin, file), file)
    file.unlink()
    return stored


def _card(
    trainer: Trainer, vectors: Tensor, found: Contest, origin: Origin, file: Path
) -> ModelCard:
    held_out = origin.roster.held_out
    pairs = cross_camera_pairs(
        vectors.numpy(), held_out.people.numpy(), held_out.cameras.numpy(), held_out.sources.numpy()
    )
    told = Told(
        name=origin.name,
        version=origin.name.rpartition("-")[2],
        command=f"POST /v1/jobs, kind reid.train (job {origin.job_id})",
        data=" + ".join(data.manifest.name for data in (origin.roster.data, *origin.made)),
        identities=trainer.data.identities,
        crops=len(trainer.data),
        steps=trainer.steps_done,
        minutes=trainer.minutes,
        settings=trainer.settings,
        trained_on=datetime.now(UTC).date(),
    )
    card = card_of(
        trainer.objective,
        file,
        told,
        fit_identity_prior(*pairs),
        held_out_ranking(vectors, held_out),
    )
    return card.model_copy(update=_described(card, found, origin))


def _described(card: ModelCard, found: Contest, origin: Origin) -> dict[str, Any]:
    base = origin.base.card
    licences = {data.manifest.licence: None for data in (origin.roster.data, *origin.made)}
    changes: dict[str, Any] = {
        "metrics": card.metrics | figures_of(found),
        "metrics_data": (
            f"held_out, contest: {found.queries} queries of {found.people} people of"
            f" {origin.roster.data.manifest.name} who were not trained on; gain's 95 % interval by"
            " person"
        ),
        "settings": card.settings | {"lineage": _lineage(origin)},
        "licence": "; ".join(licences),
    }
    if origin.goes_on:
        changes |= {
            "summary": f"{base.name}, gone on with. {card.summary}",
            "training_data": f"{card.training_data}. Before: {base.training_data}",
            "licence": "; ".join(licences | {base.licence: None}),
        }
    return changes


def _lineage(origin: Origin) -> dict[str, Any]:
    base = origin.base
    return {
        "root": root_of(base.card) if origin.goes_on else origin.params.network,
        "base": base.card.name,
        "base_digest": base.digest,
        "start": origin.params.start,
        "job_id": origin.job_id,
        "held_out": origin.roster.share if origin.goes_on else origin.params.held_out,
        "labelled": described(origin.roster.data),
        "made": [described(data) for data in origin.made],
    }


def root_of(card: ModelCard) -> str:
    root: str = card.settings.get("lineage", {}).get("root", card.name)
    return root


def share_not_learnt(card: ModelCard) -> float:
    """Of people, as `is_held_out` has it: the least that the model and those it was made of were
    spared. 1 for a model of no job, which has learnt nobody of the city's."""
    lineage = card.settings.get("lineage")
    return 1.0 if lineage is None else float(lineage.get("held_out", card.settings["held_out"]))


def described(data: MadeData) -> dict[str, Any]:
    """A data set, as lineage knows it. sha256: of its listing, which holds those of all files."""
    manifest = data.manifest
    return {
        "id": data.folder.name,
        "name": manifest.name,
        "sha256": manifest.sha256,
        "system": manifest.system,
        "label_policy": manifest.label_policy.value,
    }


def figures_of(found: Contest) -> dict[str, float]:
    """For a card, and for a manifest."""
    figures = {
        "contest_map": found.candidate.map,
        "contest_map_base": found.serving.map,
        "contest_rank1": found.candidate.rank1,
        "contest_rank1_base": found.serving.rank1,
        "contest_map_gain": found.gain.mean,
        "contest_map_gain_low": found.gain.low,
        "contest_map_gain_high": found.gain.high,
    }
    return {name: round(figure, 4) for name, figure in figures.items()}
