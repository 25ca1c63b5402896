"""A fine-tuned network -> a model beside the one it came from, its card telling where from"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from services.anomaly.core.contest import FALSE_ALARMS
from services.anomaly.scorer import blend_of, reading_of
from services.anomaly.training.blending import blended
from services.anomaly.training.export import export
from services.anomaly.training.prior import Scoring, with_prior
from shared.clock import from_us
from shared.model_store import ModelStore, StoredModel, sha256_of

if TYPE_CHECKING:
    from pathlib import Path

    from services.anomaly.core.contest import Contest
    from services.anomaly.training.recorded import CameraFootage
    from services.anomaly.training.trainer import Trainer
    from shared.model_store import ModelCard


@dataclass(frozen=True)
class Origin:
    """base: what the network was before. fps: of the footage. held_out: share of it."""

    base: StoredModel
    camera_id: str
    job_id: str
    footage: CameraFootage
    fps: float
    held_out: float


def candidate_of(trainer: Trainer, name: str, origin: Origin, folder: Path) -> StoredModel:
    """Its errors are read as the base's are; its prior is that of the held-out footage.

    folder: of a store of its own, for what is in no contest yet must not be served.
    """
    base, settings = origin.base.card, trainer.settings
    home = folder / name
    home.mkdir(parents=True, exist_ok=True)
    file = home / base.file
    difference = export(
        trainer.network,
        file,
        channels=settings.sight.channels,
        frames=settings.frames,
        side=settings.side,
    )
    changes = _described(trainer, name, origin)
    changes |= {"sha256": sha256_of(file), "metrics": {"export_difference": difference}}
    card = _read_as_base(base.model_copy(update=changes), file, origin, settings.frames)
    return ModelStore(folder).save(card, file)


def metrics_of(found: Contest, card: ModelCard) -> dict[str, Any]:
    """What a card says of the contest that its model has won."""
    figures = {
        "contest_auc": found.candidate.auc,
        "contest_auc_base": found.serving.auc,
        "contest_auc_gain": found.gain,
        "contest_auc_gain_low": found.interval.low,
        "contest_auc_gain_high": found.interval.high,
        "contest_recall": found.candidate.recall,
        "contest_recall_base": found.serving.recall,
        "contest_clips": float(found.clips),
    }
    told = (
        f"{found.clips} held-out clips of the camera, each as it was filmed and with something"
        f" invented in it; recall at {FALSE_ALARMS:.0%} false alarms; gain's 95 % interval by clip"
    )
    rounded = {name: round(figure, 4) for name, figure in figures.items()}
    return {"metrics": card.metrics | rounded, "metrics_data": told}


def _described(trainer: Trainer, name: str, origin: Origin) -> dict[str, Any]:
    base, footage = origin.base, origin.footage
    span = f"{from_us(footage.start_us):%Y-%m-%d %H:%M} to {from_us(footage.end_us):%Y-%m-%d %H:%M}"
    lineage = {
        "root": base.card.settings.get("lineage", {}).get("root", base.card.name),
        "base": base.card.name,
        "base_digest": base.digest,
        "camera_id": origin.camera_id,
        "job_id": origin.job_id,
        "frames": footage.frames,
        "start_us": footage.start_us,
        "end_us": footage.end_us,
    }
    return {
        "name": name,
        "version": name.rpartition("-")[2],
        "summary": f"{base.card.name}, tuned to camera {origin.camera_id}. {base.card.summary}",
        "training_data": (
            f"Normal footage of camera {origin.camera_id}, {span} UTC: {footage.frames} frames, the"
            f" last {origin.held_out:.0%} held out. Before: {base.card.training_data}"
        ),
        "training_command": f"POST /v1/baselines/{origin.camera_id}/train (job {origin.job_id})",
        "training_steps": trainer.step,
        "training_minutes": round(trainer.minutes, 1),
        "seed": trainer.settings.seed,
        "trained_on": datetime.now(UTC).date(),
        "metrics_data": "none yet",
        "limits": f"Of use at camera {origin.camera_id} alone. {base.card.limits}",
        "settings": trainer.settings.model_dump(mode="json") | {"lineage": lineage},
    }


def _read_as_base(card: ModelCard, file: Path, origin: Origin, frames: int) -> ModelCard:
    base, footage = origin.base.card, origin.footage
    scoring = Scoring(
        base.anomaly.score if base.anomaly else "max_patch",
        reading_of(base),
        prior_stride=frames // 2,
    )
    if (blend := blend_of(base)) is None:
        return with_prior(card, file, scoring, footage.held_out)
    # Offline nothing tells the time between two frames but the motion's own interval.
    motion = blend.motion.model_copy(update={"interval_s": 1 / origin.fps})
    return blended(
        StoredModel(card, file.parent),
        motion,
        scoring,
        learnt=footage.learnt,
        held_out=footage.held_out,
        seed=card.seed,
    )
