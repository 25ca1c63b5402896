"""Made data sets -> what each adds to a training beside two controls, as its manifest then says."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated, Any

import torch
import typer

from services.reid.training.arms import Arms, settings_of
from services.reid.training.console import Console
from services.reid.training.ground import market_ground
from services.reid.training.made import read_made
from services.reid.training.settings import RECIPES, Network
from services.reid.training.uplift import BASE, deltas, figures_of, verdict_of
from shared.made_data import MadeData

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.reid.training.ground import Ground
    from services.reid.training.uplift import Measured
    from shared.made_data import Verdict

SEEDS = (0, 1, 2)
LEAST_CONTROLS = 2


def uplift_command(
    data: Annotated[Path, typer.Option(help="Real crops, in Market-1501's layout.")],
    control: Annotated[
        list[Path], typer.Option(help="A data set made without learning; give two or more.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of what each training achieved.")],
    made: Annotated[list[Path] | None, typer.Option(help="A data set to judge.")] = None,
    train_camera: Annotated[list[int] | None, typer.Option(help="[all]")] = None,
    test_camera: Annotated[list[int] | None, typer.Option(help="[all]")] = None,
    validation: Annotated[
        bool, typer.Option(help="Ask for training people held out; writes no verdict.")
    ] = False,
    network: Network = Network.OSNET,
    epochs: int = 8,
    shrink: Annotated[int, typer.Option(help="Of 144x56.")] = 3,
    share: Annotated[float, typer.Option(help="Made crops for each real one.")] = 1 / 3,
    seed: Annotated[list[int] | None, typer.Option(min=0, max=2**32 - 1, help="[0, 1, 2]")] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Train these arms and say nothing of the rest.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, last line.")] = False,
    threads: int = 1,
) -> None:
    """Trains without, with each control and with each data set, and says what each adds."""
    torch.set_num_threads(threads)
    folders, controls = _arms(control, made or (), only or ()), _names(control)
    settings = settings_of(RECIPES[network], epochs, shrink, share)
    cameras = {"train": train_camera or [], "test": test_camera or []}
    common = {"data": data.name, "cameras": cameras, "validation": validation}
    told = json.loads(json.dumps(asdict(settings) | common))
    arms, seeds = Arms(out, told), seed or list(SEEDS)
    ground = market_ground(data, cameras["train"], cameras["test"], validation=validation)
    _tell(arms, ground, folders)
    for arm in only or [BASE, *folders]:
        missing = [one for one in seeds if not arms.has(arm, one)]
        beside = read_made([folders[arm]], ground.train) if missing and arm != BASE else None
        for one in missing:
            arms.run(arm, ground, beside, replace(settings, seed=one), Console().training)
    if only:
        return
    measured = {arm: arms.rankings(arm, seeds) for arm in (BASE, *folders)}
    print(table(measured, controls))
    on = f"{data.name}, test cameras {test_camera or 'all'}, seeds {seeds}"
    verdicts = {arm: verdict_of(arm, measured, controls, on) for arm in folders}
    if not validation:
        for arm, folder in folders.items():
            MadeData.read(folder, verified=False).judged(verdict=verdicts[arm])
    if as_json:
        print(json.dumps(_said(measured, verdicts)))


def _arms(controls: Sequence[Path], made: Sequence[Path], only: Sequence[str]) -> dict[str, Path]:
    """Data sets by their folders' names. Raises typer.BadParameter for too few controls, and where
    a name stands for two, or for none."""
    if len(controls) < LEAST_CONTROLS:
        raise typer.BadParameter(f"a gain is one over {LEAST_CONTROLS} controls or more: give them")
    folders = [*controls, *made]
    names = _names(folders)
    twice = {name for name in names if [BASE, *names].count(name) > 1}
    if twice:
        raise typer.BadParameter(
            f"an arm is known by its folder's name; {', '.join(sorted(twice))} stands for two"
        )
    unknown = {*only} - {BASE, *names}
    if unknown:
        raise typer.BadParameter(f"no data set {', '.join(sorted(unknown))}: give it by --made")
    return dict(zip(names, folders, strict=True))


def _tell(arms: Arms, ground: Ground, folders: Mapping[str, Path]) -> None:
    """What each arm learns from, before any is trained. Raises what Arms.tell raises."""
    arms.tell(BASE, ground.digest)
    for arm, folder in folders.items():
        arms.tell(arm, MadeData.read(folder, verified=False).manifest.sha256)


def _said(measured: Mapping[str, Measured], verdicts: Mapping[str, Verdict]) -> dict[str, Any]:
    return {
        "arms": {arm: figures_of(measured[arm]) for arm in measured},
        "verdicts": {arm: one.model_dump(mode="json") for arm, one in verdicts.items()},
    }


def _names(folders: Sequence[Path]) -> list[str]:
    return [folder.resolve().name for folder in folders]


def table(measured: Mapping[str, Measured], controls: Sequence[str]) -> str:
    """A line an arm, then what each adds over base and controls."""
    lines = [f"{'arm':>16}  {'mAP':>12}  rank 1  {'mAP centred':>12}  rank 1"]
    for arm, rankings in measured.items():
        found = figures_of(rankings)
        shown = [
            f"{found[f'map{way}']:6.1%} ±{found[f'map{way}_sd']:4.1%}  {found[f'rank1{way}']:6.1%}"
            for way in ("", "_centred")
        ]
        lines.append(f"{arm:>16}  {'  '.join(shown)}")
    for arm in measured:
        for rival in (BASE, *controls):
            if arm in (BASE, rival):
                continue
            for name, added in deltas(measured[arm], measured[rival]).items():
                bounds = f"{added.mean:+6.1%} [{added.low:+.1%}, {added.high:+.1%}]"
                lines.append(f"{arm:>16} over {rival:<16} {name:<14} {bounds}")
    return "\n".join(lines)
