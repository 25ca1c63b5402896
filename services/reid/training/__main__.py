"""Crops -> a model in the store (`train`); a model and a benchmark -> figures (`evaluate`)."""

from __future__ import annotations

import json
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import torch
import typer

from services.reid.core.reranking import Reranking
from services.reid.embedder import Embedder
from services.reid.models.msp_loss import Levels, MspLossSettings
from services.reid.training.console import Console
from services.reid.training.evaluate import Comparison, compare, outcome_of
from services.reid.training.histogram import HistogramEmbedder
from services.reid.training.protocols import PROTOCOLS
from services.reid.training.report import figures_of, table
from services.reid.training.settings import Stage, TrainingSettings
from services.reid.training.sheet import draw_sheet
from services.reid.training.workshop import Workshop
from shared.errors import CityBrainError
from shared.inference import open_session
from shared.model_store import ModelStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.reid.training.evaluate import Embeds

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

HISTOGRAM = "histogram"
DEFAULTS = TrainingSettings()
SMALL, FULL, LOW = DEFAULTS.stages


@app.command()
def train(
    data: Annotated[list[Path], typer.Option(help="Folder of crops; may be given several times.")],
    out: Annotated[Path, typer.Option(help="The model's folder, MODELS/NAME.")],
    version: str = "1",
    small_epochs: Annotated[int, typer.Option(help="At half size, first.")] = SMALL.epochs,
    epochs: Annotated[int, typer.Option(help="At full size.")] = FULL.epochs,
    low_level_epochs: Annotated[
        int, typer.Option(help="Last, with the low-level loss if levels have it.")
    ] = LOW.epochs,
    learning_rate: float = DEFAULTS.learning_rate,
    warm_up: Annotated[float, typer.Option(help="Epochs.")] = DEFAULTS.warm_up_epochs,
    levels: Annotated[
        Levels, typer.Option(help="What is compared: the rows of the paper's Table 5.")
    ] = DEFAULTS.loss.levels,
    negatives: Annotated[str, typer.Option(help="random or nearest")] = DEFAULTS.negatives,
    people: Annotated[int, typer.Option(help="In a batch.")] = DEFAULTS.people,
    held_out: Annotated[float, typer.Option(help="Share of people.")] = DEFAULTS.held_out,
    seed: int = DEFAULTS.seed,
    start_from: Annotated[
        Path | None, typer.Option(help="Another training's checkpoint, to start from its features.")
    ] = None,
    checkpoint: Annotated[Path, typer.Option()] = Path("runs/msp-cnn.pt"),
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint.")] = False,
    threads: int = 1,
) -> None:
    """Trains MSP-CNN. The last checkpoint is exported, whatever it scores."""
    settings = TrainingSettings(
        stages=_stages(small_epochs, epochs, low_level_epochs),
        learning_rate=learning_rate,
        warm_up_epochs=warm_up,
        negatives=_negatives(negatives),
        people=people,
        held_out=held_out,
        seed=seed,
        loss=MspLossSettings(levels=levels),
    )
    torch.set_num_threads(threads)
    workshop = Workshop.open(data, settings, checkpoint, start_from=start_from, resume=resume)
    print(workshop.summary)
    workshop.train(Console().training)
    stored = workshop.ship(
        out,
        version=version,
        command=shlex.join(["python", "-m", "services.reid.training", *sys.argv[1:]]),
        today=datetime.now(UTC).date(),
    )
    print(json.dumps({"model": stored.card.name, "sha256": stored.digest, **stored.card.metrics}))


@app.command("evaluate")
def evaluate_command(
    data: Annotated[Path, typer.Option(help="The benchmark's folder.")],
    protocol: Annotated[str, typer.Option(help=" | ".join(PROTOCOLS))],
    model: Annotated[str, typer.Option(help=f"A stored model, or {HISTOGRAM}.")] = "msp-cnn",
    models: Annotated[Path, typer.Option(help="The store.")] = Path("models"),
    flip: Annotated[bool, typer.Option(help="Mean vector of crop and mirror image.")] = False,
    centre_cameras: Annotated[
        bool, typer.Option(help="Less each camera's mean vector, found without labels.")
    ] = False,
    rerank: Annotated[bool, typer.Option(help="By k-reciprocal neighbours.")] = False,
    sheet: Annotated[
        Path | None, typer.Option(help="PNG of queries and their ten best answers.")
    ] = None,
    sheet_rows: int = 12,
    record: Annotated[
        str, typer.Option(help="Write rank 1 and mAP into the model's card, under this name.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, last line.")] = False,
) -> None:
    """Prints CMC 1, 5, 10, 20 and mAP, and how far they may be trusted."""
    if protocol not in PROTOCOLS:
        raise typer.BadParameter(f"no protocol {protocol!r}; there are: {', '.join(PROTOCOLS)}")
    how = Comparison(
        flip=flip, centre_cameras=centre_cameras, reranking=Reranking() if rerank else None
    )
    trials = PROTOCOLS[protocol](data)
    compared = compare(_embedder(model, models), trials, Console().embedding, how)
    figures = figures_of(outcome_of(compared))
    print(table(figures))
    if sheet is not None:
        draw_sheet(compared[0], sheet, rows=sheet_rows)
    if record:
        _record(ModelStore(models), model, record, figures)
    if as_json:
        print(json.dumps(figures))


def _record(store: ModelStore, model: str, name: str, figures: Mapping[str, float | int]) -> None:
    """Benchmarks are run after training; their figures join the card."""
    stored = store.load(model)
    measured = {f"{name}_rank1": figures["rank1"], f"{name}_map": figures["map"]}
    metrics = {**stored.card.metrics, **measured}
    store.save(stored.card.model_copy(update={"metrics": metrics}), stored.path)


def _embedder(model: str, models: Path) -> Embeds:
    if model == HISTOGRAM:
        return HistogramEmbedder()
    stored = ModelStore(models).load(model)
    return Embedder(stored, open_session(stored.path))


def _stages(small: int, full: int, low_level: int) -> tuple[Stage, ...]:
    """The last stage goes on at the size of the one before."""
    return (
        Stage(epochs=small, shrink=SMALL.shrink),
        Stage(epochs=full),
        Stage(epochs=low_level, shrink=1 if full else SMALL.shrink, low_level=True),
    )


def _negatives(name: str) -> Literal["random", "nearest"]:
    if name not in {"random", "nearest"}:
        raise typer.BadParameter(f"negatives are random or nearest, not {name!r}")
    return "nearest" if name == "nearest" else "random"


def main() -> None:
    try:
        app()
    except CityBrainError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        raise SystemExit(2) from error


if __name__ == "__main__":
    main()
