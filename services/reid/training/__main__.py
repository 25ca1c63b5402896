"""Crops -> a model in the store (`train`); a model and a benchmark -> figures (`evaluate`); made
data sets -> what each is worth (`uplift`)."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import torch
import typer

from services.reid.core.reranking import Reranking
from services.reid.embedder import Embedder
from services.reid.models.msp_loss import Levels  # noqa: TC001 - typer reads it
from services.reid.training.console import Console
from services.reid.training.evaluate import Comparison, check_answerable, compare, outcome_of
from services.reid.training.histogram import HistogramEmbedder
from services.reid.training.protocols import PROTOCOLS
from services.reid.training.report import figures_of, table
from services.reid.training.settings import RECIPES, Network, Stage, TrainingSettings
from services.reid.training.sheet import draw_sheet
from services.reid.training.uplift_command import uplift_command
from services.reid.training.workshop import Workshop
from shared.errors import CityBrainError
from shared.inference import open_session
from shared.model_store import ModelStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.reid.training.evaluate import Embeds
    from services.reid.training.protocols import Trial

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command("uplift")(uplift_command)

HISTOGRAM = "histogram"


@app.command()
def train(
    data: Annotated[list[Path], typer.Option(help="Folder of crops; may be given several times.")],
    out: Annotated[Path, typer.Option(help="The model's folder, MODELS/NAME.")],
    network: Annotated[
        Network, typer.Option(help="Each has a recipe, of which options change what they name.")
    ] = Network.MSP_CNN,
    version: str = "1",
    made: Annotated[
        list[Path] | None,
        typer.Option(help="A made data set beside them; may be given several times."),
    ] = None,
    made_share: Annotated[
        float | None, typer.Option(help="Made crops for each real one of a batch.")
    ] = None,
    small_epochs: Annotated[int | None, typer.Option(help="At half size, first.")] = None,
    epochs: Annotated[int | None, typer.Option(help="At full size.")] = None,
    low_level_epochs: Annotated[
        int | None, typer.Option(help="Last, with the low-level loss if levels have it.")
    ] = None,
    levels: Annotated[
        Levels | None,
        typer.Option(help="What MSP-CNN compares: the rows of its paper's Table 5. [both]"),
    ] = None,
    learning_rate: float | None = None,
    weight_decay: float | None = None,
    warm_up: Annotated[float | None, typer.Option(help="Epochs.")] = None,
    negatives: Annotated[str | None, typer.Option(help="random or nearest")] = None,
    people: Annotated[int | None, typer.Option(help="In a batch.")] = None,
    crops: Annotated[int | None, typer.Option(help="Of each person in a batch.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Before MSP-CNN's fc8.")] = None,
    erasing: Annotated[float | None, typer.Option(help="Share of crops with a blot.")] = None,
    held_out: Annotated[float | None, typer.Option(help="Share of people.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**32 - 1)] = None,
    trial: Annotated[
        int | None, typer.Option(help="Of VIPeR: 0 to 9, whose people are not trained on.")
    ] = None,
    start_from: Annotated[
        Path | None, typer.Option(help="Another training's checkpoint, to start from its features.")
    ] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="runs/NETWORK.pt if not given.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint.")] = False,
    threads: int = 1,
) -> None:
    """Trains a network. The last checkpoint is exported, whatever it scores."""
    recipe = RECIPES[network]
    _refuse_foreign(network, levels, dropout, low_level_epochs)
    named = {
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "warm_up_epochs": warm_up,
        "negatives": _negatives(negatives),
        "people": people,
        "crops": crops,
        "dropout": dropout,
        "erasing": erasing,
        "made_share": made_share,
        "held_out": held_out,
        "seed": seed,
    }
    settings = replace(
        recipe,
        stages=_stages(recipe, small_epochs, epochs, low_level_epochs),
        loss=recipe.loss if levels is None else replace(recipe.loss, levels=levels),
        **{name: value for name, value in named.items() if value is not None},  # type: ignore[arg-type]
    )
    torch.set_num_threads(threads)
    workshop = Workshop.open(
        data,
        settings,
        checkpoint or Path("runs") / f"{network}.pt",
        trial=trial,
        start_from=start_from,
        resume=resume,
        made=made or (),
    )
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
    model: Annotated[
        str,
        typer.Option(help=f"A stored model, or {HISTOGRAM}; NAME-{{trial}} is a model per trial."),
    ] = "msp-cnn",
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
    if record and "{trial}" in model:
        raise typer.BadParameter("figures of several models belong on no one's card")
    if protocol not in PROTOCOLS:
        raise typer.BadParameter(f"no protocol {protocol!r}; there are: {', '.join(PROTOCOLS)}")
    how = Comparison(
        flip=flip, centre_cameras=centre_cameras, reranking=Reranking() if rerank else None
    )
    trials = PROTOCOLS[protocol](data)
    check_answerable(trials)
    compared = [
        one
        for name, asked in _rounds(model, trials)
        for one in compare(_embedder(name, models), asked, Console().embedding, how)
    ]
    figures = figures_of(outcome_of(compared))
    print(table(figures))
    if sheet is not None:
        draw_sheet(compared[0], sheet, rows=sheet_rows)
    if record:
        _record(ModelStore(models), model, record, figures)
    if as_json:
        print(json.dumps(figures))


def _rounds(model: str, trials: Sequence[Trial]) -> list[tuple[str, Sequence[Trial]]]:
    """One model for all trials, or for each its own."""
    if "{trial}" in model:
        return [(model.format(trial=n), [trial]) for n, trial in enumerate(trials)]
    return [(model, trials)]


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


def _refuse_foreign(
    network: Network, levels: Levels | None, dropout: float | None, low_level_epochs: int | None
) -> None:
    """What is MSP-CNN's alone is not ignored silently. Raises typer.BadParameter."""
    own = {"levels": levels, "dropout": dropout, "low-level-epochs": low_level_epochs or None}
    foreign = [f"--{name}" for name, value in own.items() if value is not None]
    if foreign and network is not Network.MSP_CNN:
        raise typer.BadParameter(f"{network} has no {', '.join(foreign)}: that is MSP-CNN's")


def _stages(
    recipe: TrainingSettings, small: int | None, full: int | None, low_level: int | None
) -> tuple[Stage, ...]:
    """The recipe's stages with the epochs that are given. The last goes on at the size of the one
    before."""
    first, second, last = (
        stage if epochs is None else replace(stage, epochs=epochs)
        for stage, epochs in zip(recipe.stages, (small, full, low_level), strict=True)
    )
    return first, second, replace(last, shrink=second.shrink if second.epochs else first.shrink)


def _negatives(name: str | None) -> Literal["random", "nearest"] | None:
    match name:
        case None | "random" | "nearest":
            return name
        case _:
            raise typer.BadParameter(f"negatives are random or nearest, not {name!r}")


def main() -> None:
    try:
        app()
    except CityBrainError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        raise SystemExit(2) from error


if __name__ == "__main__":
    main()
