"""A finished training and its measurements -> the model's card."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from services.reid.core.identity import SAME_PERSON_SHARE
from services.reid.embedder import RESIZED_HEIGHT, RESIZED_WIDTH
from services.reid.models.msp_cnn import INPUT_HEIGHT, INPUT_WIDTH
from services.reid.training.export import INPUT, OUTPUT
from services.reid.training.settings import MEAN, STD
from shared.model_store import IdentityPrior, ModelCard, TensorSpec, sha256_of

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from services.reid.core.evaluation import Ranking
    from services.reid.training.objectives import Objective
    from services.reid.training.settings import TrainingSettings

LICENCE = "research use: the training crops show real people and may be used for research"

INTENDED_USE = "Finding a person again across the cameras of one site, without a name."

LIMITS = (
    "It compares clothing and build, not faces: it confuses people dressed alike and loses"
    " who has changed. Trained on daylight crops of one campus and on simulated streets."
)


@dataclass(frozen=True, kw_only=True)
class Training:
    """What a card tells of how its model was made."""

    name: str
    version: str
    command: str
    data: str
    identities: int
    crops: int
    steps: int
    minutes: float
    settings: TrainingSettings
    trained_on: date


def card_of(
    objective: Objective, onnx: Path, training: Training, prior: IdentityPrior, held_out: Ranking
) -> ModelCard:
    """The card; the benchmark figures are added by whoever runs the benchmarks."""
    settings = training.settings
    parameters = _parameters(objective)
    return ModelCard(
        name=training.name,
        version=training.version,
        service="reid",
        summary=(
            f"{objective.title}: a person crop, seen at {_seen(settings)}, to a unit vector;"
            f" {parameters / 1e6:.2f} M parameters"
        ),
        paper=objective.paper,
        file=onnx.name,
        sha256=sha256_of(onnx),
        input=_input(),
        outputs=(OUTPUT,),
        parameters=parameters,
        identity=prior,
        training_data=f"{training.data}: {training.identities} people, {training.crops} crops",
        training_command=training.command,
        training_steps=training.steps,
        training_minutes=round(training.minutes, 1),
        seed=settings.seed,
        trained_on=training.trained_on,
        metrics={
            "held_out_rank1": held_out.rank(1),
            "held_out_map": held_out.mean_average_precision,
        },
        metrics_data=(
            f"held_out: {held_out.queries} queries of people of the training sets who were not"
            " trained on; the last checkpoint, with nothing chosen on a test set"
        ),
        licence=LICENCE,
        intended_use=INTENDED_USE,
        limits=LIMITS,
        settings={
            "resized": [RESIZED_HEIGHT, RESIZED_WIDTH],
            "same_person_share": SAME_PERSON_SHARE,
            **asdict(settings),
        },
    )


def _parameters(objective: Objective) -> int:
    """Without the head, which is for training alone."""
    return sum(
        p.numel()
        for name, p in objective.network.named_parameters()
        if not name.startswith(f"{objective.head_name}.")
    )


def _seen(settings: TrainingSettings) -> str:
    """The size at which the last epoch saw crops."""
    shrink = settings.stage_of(settings.epochs - 1).shrink
    return f"{INPUT_HEIGHT // shrink}x{INPUT_WIDTH // shrink}"


def _input() -> TensorSpec:
    return TensorSpec(
        name=INPUT,
        shape=(-1, 3, INPUT_HEIGHT, INPUT_WIDTH),
        layout="NCHW",
        colour="rgb",
        mean=MEAN,
        std=STD,
    )
