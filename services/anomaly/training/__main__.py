"""Footage -> a model in the store (`train`); a model and labels -> figures (`evaluate`)."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import torch
import typer

from services.anomaly.core.error_map import FrameScoring, Reading
from services.anomaly.core.flow import FlowSettings
from services.anomaly.core.motion import MotionSettings
from services.anomaly.core.sight import Colour, Sight
from services.anomaly.models.stae_loss import PredictionWeights  # noqa: TC001 - typer reads it
from services.anomaly.training.ablation import MOTION_ALONE, PLUS, ablate
from services.anomaly.training.allocator import keep_freed_memory
from services.anomaly.training.blending import blended
from services.anomaly.training.curves import draw_curves
from services.anomaly.training.evaluation import EvaluationSettings, evaluate
from services.anomaly.training.gallery import chosen_clips, draw_gallery
from services.anomaly.training.gathering import gather
from services.anomaly.training.inventions import write_inventions
from services.anomaly.training.judge import JudgeSettings
from services.anomaly.training.latent import fit_latent
from services.anomaly.training.prior import Scoring, with_prior
from services.anomaly.training.protocols import PREFIX, PROTOCOLS, test_set
from services.anomaly.training.pseudo import PseudoAnomalies
from services.anomaly.training.regimes import Regime, RegimeSettings
from services.anomaly.training.report import figures, gains, report, side_by_side, table
from services.anomaly.training.settings import Precision, Stage, TrainingSettings
from services.anomaly.training.shipping import Provenance, ship
from services.anomaly.training.trainer import Trainer
from shared.errors import CityBrainError
from shared.model_store import ModelStore

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

DEFAULTS = TrainingSettings()
FIRST, LAST = DEFAULTS.stages
REGIMES = RegimeSettings()

ScoreOption = Annotated[FrameScoring, typer.Option(help="How a map scores its frame.")]
MovingOption = Annotated[bool, typer.Option(help="Errors of what moves alone.")]
PatchesOption = Annotated[int, typer.Option(help="Side of the maps' smoothing box.")]
FramesOption = Annotated[int, typer.Option(help="Length of the maps' smoothing box.")]
SteadyOption = Annotated[int, typer.Option(help="Frames over which a frame's score is averaged.")]
HeldOutOption = Annotated[float, typer.Option(help="Share of clips kept for the prior.")]


@app.command("train")
def train_command(
    data: Annotated[list[Path], typer.Option(help="DIR with Train/CLIP/*; several mix.")],
    out: Annotated[Path, typer.Option(help="The model's folder, MODELS/NAME.")],
    share: Annotated[
        list[float] | None, typer.Option(help="How often each DIR is drawn from, in their order.")
    ] = None,
    sees: Annotated[
        Colour, typer.Option(help="Gray frames, colours or optical flow.")
    ] = DEFAULTS.sight.colour,
    frames: Annotated[int, typer.Option(help="Of a clip.")] = DEFAULTS.frames,
    side: Annotated[int, typer.Option(help="Of the network's input, in pixels.")] = DEFAULTS.side,
    window: Annotated[int, typer.Option(help="Of the first stage, in pixels.")] = FIRST.window,
    window_steps: Annotated[int, typer.Option(help="On windows, first.")] = FIRST.steps,
    window_batch: int = FIRST.batch,
    steps: Annotated[int, typer.Option(help="On whole frames, then.")] = LAST.steps,
    batch: int = LAST.batch,
    learning_rate: float = DEFAULTS.learning_rate,
    weight_decay: float = DEFAULTS.weight_decay,
    prediction: Annotated[
        PredictionWeights, typer.Option(help="Shape of the prediction loss.")
    ] = DEFAULTS.prediction_weights,
    prediction_lambda: float = DEFAULTS.prediction_lambda,
    pseudo_anomalies: Annotated[
        float, typer.Option(help="Share of clips that get one; not the paper's.", min=0, max=1)
    ] = DEFAULTS.pseudo_anomalies.chance,
    precision: Precision = DEFAULTS.precision,
    seed: int = DEFAULTS.seed,
    held_out: HeldOutOption = 0.2,
    score: ScoreOption = "mean",
    moving: MovingOption = False,
    smooth_patches: PatchesOption = 1,
    smooth_frames: FramesOption = 1,
    steady: SteadyOption = 1,
    workspace: Annotated[
        Path | None, typer.Option(help="Checkpoints; a run resumes there. [runs/NAME]")
    ] = None,
    loaders: Annotated[int, typer.Option(help="Processes that read footage; a GPU eats 12.")] = 1,
    threads: int = 1,
    fps: Annotated[float, typer.Option(help="Frames a second of the footage, for flow.")] = 10.0,
    summary: str = "STAE: errors of reconstruction of clips.",
    about: Annotated[str, typer.Option(help="What the footage is, for the card.")] = "",
    licence: str = "research use",
    intended_use: str = "Scoring clips of a fixed camera; a person judges every alert.",
    limits: str = "Errors mean little on cameras unlike those of its training footage.",
) -> None:
    """Trains STAE and puts it into the store. The last step counts; no test footage is read."""
    keep_freed_memory()
    torch.set_num_threads(threads)
    settings = TrainingSettings(
        sight=Sight(colour=sees, flow=FlowSettings(interval_s=1 / fps)),
        frames=frames,
        side=side,
        stages=(
            Stage(steps=window_steps, window=window, batch=window_batch),
            Stage(steps=steps, window=side, batch=batch),
        ),
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        prediction_weights=prediction,
        prediction_lambda=prediction_lambda,
        pseudo_anomalies=PseudoAnomalies(chance=pseudo_anomalies),
        precision=precision,
        seed=seed,
    )
    footage = gather(data, share or [], held_out)
    print(footage.description)
    folder = workspace or Path("runs") / out.name
    trainer = Trainer(settings, footage.sources, folder, loaders=loaders)
    trainer.run(lambda line: print(line, flush=True))
    reading = Reading(moving=moving, patches=smooth_patches, frames=smooth_frames, steady=steady)
    stored = ship(
        trainer,
        out,
        scoring=Scoring(score, reading, prior_stride=settings.frames // 2),
        provenance=Provenance(
            summary=summary,
            training_data=" ".join(filter(None, [about, footage.description])),
            training_command=_command(data, [out]),
            licence=licence,
            intended_use=intended_use,
            limits=limits,
        ),
        held_out=footage.held_out,
    )
    print(json.dumps({"model": stored.card.name, "sha256": stored.digest}))


@app.command("read")
def read_command(
    data: Annotated[list[Path], typer.Option(help="As it was trained on: the same is held out.")],
    model: Annotated[Path, typer.Option(help="The model's folder, MODELS/NAME.")],
    held_out: HeldOutOption = 0.2,
    score: ScoreOption = "max_patch",
    moving: MovingOption = False,
    smooth_patches: PatchesOption = 1,
    smooth_frames: FramesOption = 1,
    steady: SteadyOption = 1,
) -> None:
    """Has a trained model's errors read otherwise from now on, and measures its prior anew."""
    store = ModelStore(model.parent)
    stored = store.load(model.name)
    reading = Reading(moving=moving, patches=smooth_patches, frames=smooth_frames, steady=steady)
    scoring = Scoring(score, reading, prior_stride=stored.card.input.shape[2] // 2)
    spared = gather(data, [], held_out).held_out
    card = with_prior(stored.card, stored.path, scoring, spared)
    store.save(card, stored.path)
    print(card.model_dump_json(include={"anomaly"}))


@app.command("plus")
def plus_command(
    data: Annotated[list[Path], typer.Option(help="As the STAE was trained on.")],
    model: Annotated[Path, typer.Option(help="The trained STAE's folder, MODELS/NAME.")],
    out: Annotated[Path, typer.Option(help="The new model's folder, MODELS/NAME.")],
    fps: Annotated[float, typer.Option(help="Frames a second of the footage.")] = 10.0,
    held_out: HeldOutOption = 0.2,
    score: ScoreOption = "max_patch",
    moving: MovingOption = False,
    smooth_patches: PatchesOption = 1,
    smooth_frames: FramesOption = 1,
    steady: SteadyOption = 1,
    seed: int = 0,
) -> None:
    """STAE+: a trained STAE, and a density of how fast and how large what moves is normally."""
    stored = ModelStore(model.parent).load(model.name)
    footage = gather(data, [], held_out)
    reading = Reading(moving=moving, patches=smooth_patches, frames=smooth_frames, steady=steady)
    card = blended(
        stored,
        MotionSettings(interval_s=1 / fps),
        Scoring(score, reading, prior_stride=stored.card.input.shape[2] // 2),
        learnt=[clip for source in footage.sources for clip in source.recordings],
        held_out=footage.held_out,
        seed=seed,
    )
    changes = {
        "name": out.name,
        "summary": "STAE+: errors of reconstruction, and how unusual speed and size of motion are.",
        "training_command": f"{stored.card.training_command} && {_command(data, [model, out])}",
        "metrics": {},
        "metrics_data": "none yet: evaluate --record",
    }
    saved = ModelStore(out.parent).save(card.model_copy(update=changes), stored.path)
    print(json.dumps({"model": saved.card.name, "sha256": saved.digest}))


@app.command("invent")
def invent_command(
    data: Annotated[list[Path], typer.Option(help="As the model was trained on.")],
    out: Annotated[Path, typer.Option(help="DIR to write, for `evaluate --data DIR`.")],
    held_out: HeldOutOption = 0.2,
    each: Annotated[int, typer.Option(help="Of every kind, in every clip.", min=1)] = 2,
    seed: int = 0,
) -> None:
    """Makes test footage of held-out TRAINING clips, to choose settings by: anomalies are invented
    in it, and no test clip is read."""
    footage = gather(data, [], held_out)
    made, missed = write_inventions(footage.held_out, out, each=each, seed=seed)
    print(f"{made} clips in {out}" + (f"; {missed} showed nobody to invent with" if missed else ""))


@app.command("evaluate")
def evaluate_command(
    data: Annotated[Path, typer.Option(help="DIR with Test/CLIP/* and labels, or index.csv.")],
    model: Annotated[str, typer.Option(help="Name in the store.")],
    models: Annotated[Path, typer.Option(help="The store's folder.")] = Path("models"),
    protocol: Annotated[str, typer.Option(help=" or ".join(PROTOCOLS) + ".")] = "folder",
    prefix: Annotated[int, typer.Option(help="Frames of a clip's normal prefix.", min=1)] = PREFIX,
    stride: Annotated[int, typer.Option(help="Between windows, offline.", min=1)] = REGIMES.stride,
    served_stride: Annotated[
        int, typer.Option(help="Between windows, as served.", min=1)
    ] = REGIMES.served_stride,
    sigma: Annotated[float, typer.Option(help="Of offline smoothing.", min=0)] = REGIMES.sigma,
    memory: Annotated[float, typer.Option(help="Of smoothing as served.", min=0)] = REGIMES.memory,
    fps: Annotated[
        float, typer.Option(help="Of the footage: for speeds, and for alarms per hour.", min=0.1)
    ] = 5.0,
    curves: Annotated[Path | None, typer.Option(help="PNG to draw regularity into.")] = None,
    gallery: Annotated[Path | None, typer.Option(help="PNG to draw reconstructions into.")] = None,
    clip: Annotated[
        list[str] | None, typer.Option(help="Clips of the gallery; may be repeated. [all]")
    ] = None,
    record: Annotated[bool, typer.Option(help="Write the figures into the model's card.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Figures as the last line.")] = False,
) -> None:
    """Scores test videos; prints AUC and EER in all three conventions, offline and as served."""
    store = ModelStore(models)
    stored = store.load(model)
    tests = test_set(protocol, data).filmed_at(fps)
    regimes = RegimeSettings(stride, served_stride, sigma, memory)
    settings = EvaluationSettings(regimes, JudgeSettings(prefix=prefix))
    found = evaluate(stored, tests, settings, say=lambda line: print(line, flush=True))
    print(table(model, found, fps=fps))
    if curves is not None:
        draw_curves(found.videos[Regime.OFFLINE], curves, title=f"{model} on {data.name}")
    if gallery is not None:
        scenes = chosen_clips(tests.clips, found.videos[Regime.SERVED], clip)
        draw_gallery(stored, scenes, gallery, regimes)
    if record:
        known = f" of {prefix} frames" if any(one.normal_prefix for one in tests.clips) else ""
        metrics_data = f"{data.name}, {protocol}{known}, {regimes}, {fps:g} frames/s"
        metrics = {name: round(figure, 4) for name, figure in figures(found, fps=fps).items()}
        card = stored.card.model_copy(update={"metrics": metrics, "metrics_data": metrics_data})
        store.save(card, stored.path)
    if as_json:
        print(json.dumps(report(found, fps=fps)))


@app.command("ablate")
def ablate_command(
    data: Annotated[Path, typer.Option(help="As for `evaluate`; invented footage, to choose by.")],
    model: Annotated[str, typer.Option(help="Name in the store.")],
    models: Annotated[Path, typer.Option(help="The store's folder.")] = Path("models"),
    protocol: Annotated[str, typer.Option(help=" or ".join(PROTOCOLS) + ".")] = "folder",
    stride: Annotated[int, typer.Option(help="Between windows, offline.", min=1)] = REGIMES.stride,
    fps: Annotated[float, typer.Option(help="Of the footage: for speeds.", min=0.1)] = 5.0,
    learnt: Annotated[
        list[Path] | None, typer.Option(help="What it was trained on, for a density of its codes.")
    ] = None,
    held_out: HeldOutOption = 0.2,
    seed: int = 0,
) -> None:
    """Reads one model's errors in several ways, and prints what each is worth."""
    stored = ModelStore(models).load(model)
    judge = JudgeSettings()
    density = fit_latent(stored, gather(learnt, [], held_out), seed=seed) if learnt else None
    rows = ablate(
        stored,
        test_set(protocol, data).filmed_at(fps),
        EvaluationSettings(RegimeSettings(stride), judge),
        say=lambda line: print(line, flush=True),
        density=density,
    )
    print("\n".join(side_by_side(rows)))
    if PLUS in rows:
        print("\n".join(gains(PLUS, MOTION_ALONE, rows, judge)))


def _command(data: list[Path], models: Sequence[Path] = ()) -> str:
    """The command as it was given, data sets by name alone, and models as if in the shipped store:
    cards travel, paths do not."""
    names = {str(path): path.name for path in data}
    names |= {str(path): f"models/{path.name}" for path in models}
    words = [names.get(word, word) for word in sys.argv[1:]]
    return shlex.join(["python", "-m", "services.anomaly.training", *words])


if __name__ == "__main__":
    try:
        app()
    except CityBrainError as error:
        sys.exit(f"{error} [{error.code}]")
