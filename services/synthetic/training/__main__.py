"""Images -> a system in the store (`train`); a stored system -> images (`sample`)."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
import typer

from services.synthetic.training.character_commands import (
    characters_command,
    plates_command,
    transfer_command,
)
from services.synthetic.training.digits import evaluate_digits
from services.synthetic.training.fleet import Fleet
from services.synthetic.training.making import make
from services.synthetic.training.person_commands import (
    crops_command,
    measure_command,
    persons_command,
)
from services.synthetic.training.pictures import read_pictures
from services.synthetic.training.registry import SYSTEMS, decided_by, entry_of
from services.synthetic.training.ring import CONTENDERS, compete, draw_ring
from services.synthetic.training.settings import Precision, TrainingSettings
from services.synthetic.training.sheet import draw_sheet
from services.synthetic.training.shipping import Provenance, ship
from services.synthetic.training.trainer import Trainer
from shared.errors import CityBrainError, Malformed
from shared.model_store import ModelStore

if TYPE_CHECKING:
    from collections.abc import Sequence


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

DEFAULTS = TrainingSettings()
SHEET_COLUMNS = 10

Setting = Annotated[
    list[str] | None, typer.Option("--set", help="NAME=VALUE of the system; see `list`.")
]
Average = Annotated[float, typer.Option(help="Of weights over steps; 0: none.")]
First = Annotated[int | None, typer.Option(help="Learn from so many of the pictures alone.", min=2)]
Workspace = Annotated[
    Path | None, typer.Option(help="Checkpoint and log; a run resumes there. [runs/NAME]")
]


@app.command("list")
def list_command(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, last line.")] = False,
) -> None:
    """Tells which systems there are, what they need and how they are set."""
    if as_json:
        print(json.dumps({name: entry.about for name, entry in SYSTEMS.items()}))
        return
    for name, entry in SYSTEMS.items():
        settings = ", ".join(f"{key}={value}" for key, value in entry.defaults.items())
        needs = ", ".join(sorted(entry.system.NEEDS))
        print(f"{name}: {entry.system.PAPER}\n  needs {needs}\n  {settings}")


@app.command("train")
def train_command(
    system: Annotated[str, typer.Option(help=f"One of {', '.join(SYSTEMS)}.")],
    data: Annotated[Path, typer.Option(help="FILE.npz, DIR/CLASS/* or MNIST's folder.")],
    out: Annotated[Path, typer.Option(help="The model's folder, MODELS/NAME.")],
    setting: Setting = None,
    steps: int = DEFAULTS.steps,
    batch: int = DEFAULTS.batch,
    average: Average = DEFAULTS.average,
    precision: Precision = DEFAULTS.precision,
    seed: int = DEFAULTS.seed,
    first: First = None,
    workspace: Workspace = None,
    licence: str = "research use",
    threads: int = 1,
) -> None:
    """Trains a system and puts what makes its images into the store. The last step counts."""
    torch.set_num_threads(threads)
    ModelStore(out.parent).raise_if_taken(out.name)
    entry = entry_of(system)
    pictures = read_pictures(data, first=first)
    chosen = entry.settings_of(decided_by(pictures, entry.defaults) | _named(setting or []))
    fleet = Fleet.joined()
    torch.manual_seed(seed)  # every process begins with the same weights
    trainer = Trainer(
        entry.built(chosen),
        pictures,
        TrainingSettings(steps=steps, batch=batch, average=average, precision=precision, seed=seed),
        workspace or Path("runs") / out.name,
        identity={"system": system, **asdict(chosen)} | ({"first": first} if first else {}),
        fleet=fleet,
    )
    trainer.run(lambda line: print(line, flush=True))
    if fleet.leads:
        about = f"{pictures.name}: {len(pictures)} pictures of {max(len(pictures.classes), 1)}"
        told = Provenance(f"{about} classes", _command(data, out), licence, first, pictures.classes)
        ModelStore(out.parent).raise_if_taken(out.name)  # by now
        stored = ship(trainer, out, told)
        print(json.dumps({"model": stored.card.name, "sha256": stored.digest}))
    fleet.leave()


@app.command("sample")
def sample_command(
    model: Annotated[str, typer.Option(help="Name in the store.")],
    n: Annotated[int, typer.Option("--n", help="Images to make.", min=1)],
    out: Annotated[Path, typer.Option(help="FILE.npz: images (N, H, W, C), labels, classes.")],
    seed: int = 0,
    data: Annotated[
        Path | None, typer.Option(help="Real pictures, for systems that draw in a style.")
    ] = None,
    models: Annotated[Path, typer.Option(help="The store's folder.")] = Path("models"),
    sheet: Annotated[Path | None, typer.Option(help="PNG of the first hundred.")] = None,
) -> None:
    """Makes images: the same ones for the same seed."""
    stored = ModelStore(models).load(model)
    pictures = read_pictures(data) if data else None
    images, labels = make(stored, n, seed, pictures)
    classes = pictures.classes if pictures else ()
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        out,
        images=images.transpose(0, 2, 3, 1),
        labels=labels,
        classes=np.array(classes),
        synthetic=np.array(True),
        model=np.array(stored.digest),
        seed=np.array(seed),
    )
    if sheet:
        draw_sheet(images[:100], sheet, columns=min(len(classes) or SHEET_COLUMNS, SHEET_COLUMNS))
    print(f"{len(images)} images in {out}")


@app.command("evaluate")
def evaluate_command(
    model: Annotated[str, typer.Option(help="Name in the store.")],
    data: Annotated[Path, typer.Option(help="MNIST's folder.")],
    models: Annotated[Path, typer.Option(help="The store's folder.")] = Path("models"),
    n: Annotated[int, typer.Option("--n", help="Images to make.", min=100)] = 10_000,
    seed: int = 0,
    sheet: Annotated[
        Path | None, typer.Option(help="PNG: made images, each beside the nearest real one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Figures as the last line.")] = False,
) -> None:
    """Parzen-window log-likelihood of MNIST's test images, as the papers measure it; beside it what
    real training images score, and whether made digits are those that were asked for."""
    torch.set_num_threads(1)
    found = evaluate_digits(ModelStore(models).load(model), data, count=n, seed=seed)
    print(found.table)
    if sheet is not None:
        draw_sheet(found.beside_nearest(), sheet, columns=SHEET_COLUMNS)
    if as_json:
        print(json.dumps(found.figures))


@app.command("ring")
def ring_command(
    out: Annotated[Path, typer.Option(help="PNG, a panel for each loss.")],
    only: Annotated[
        list[str] | None, typer.Option(help=f"Some of: {', '.join(CONTENDERS)}. [all]")
    ] = None,
    seed: int = 0,
) -> None:
    """Eight Gaussians on a ring: draws which loss, with which bound, covers all of them."""
    if unknown := set(only or ()) - set(CONTENDERS):
        raise typer.BadParameter(f"no contender {', '.join(sorted(unknown))}")
    torch.set_num_threads(1)
    draw_ring(
        compete(only or list(CONTENDERS), lambda line: print(line, flush=True), seed=seed), out
    )


app.command("characters")(characters_command)
app.command("transfer")(transfer_command)
app.command("plates")(plates_command)
app.command("crops")(crops_command)
app.command("persons")(persons_command)
app.command("measure")(measure_command)


def _named(words: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE each. Raises Malformed (`bad_setting`)."""
    if wrong := [word for word in words if "=" not in word]:
        raise Malformed(f"--set takes NAME=VALUE, not {wrong[0]!r}", code="bad_setting")
    return dict(word.split("=", 1) for word in words)


def _command(data: Path, out: Path) -> str:
    """As it was given, paths by name alone."""
    names = {str(data): data.name, str(out): f"models/{out.name}"}
    words = [names.get(word, word) for word in sys.argv[1:]]
    return shlex.join(["python", "-m", "services.synthetic.training", *words])


if __name__ == "__main__":
    try:
        app()
    except CityBrainError as error:
        sys.exit(f"{error} [{error.code}]")
