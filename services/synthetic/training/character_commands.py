"""Commands about characters: what made ones are worth, styles side by side, whole plates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import torch
import typer

from services.synthetic.training.characters import Plan, compare, drawn
from services.synthetic.training.comparison import Comparison
from services.synthetic.training.pictures import read_pictures
from services.synthetic.training.plates import make_plates, write_plates
from services.synthetic.training.sheet import draw_sheet
from services.synthetic.training.stylist import StylistSettings
from services.synthetic.training.transfer import transfer
from shared.model_store import ModelStore

PLAN = Plan()
STYLIST = StylistSettings()

DataOption = Annotated[Path, typer.Option(help="Pictures of classes: FILE.npz or DIR/CLASS/*.")]
ModelOption = Annotated[str, typer.Option(help="Name of an saae in the store.")]
MadeOption = Annotated[
    list[int] | None, typer.Option(help="Made pictures of a class. [10, 50, 200]")
]
StoreOption = Annotated[Path, typer.Option(help="The store's folder.")]


def characters_command(
    data: DataOption,
    out: Annotated[Path, typer.Option(help="PNG: accuracy over iterations.")],
    seeds: Annotated[int, typer.Option(min=2)] = 5,
    first_seed: int = 0,
    each: Annotated[int, typer.Option(help="Real pictures of a class.", min=1)] = PLAN.each,
    made: MadeOption = None,
    steps: Annotated[int, typer.Option(help="Of the recogniser.", min=1)] = PLAN.steps,
    share: Annotated[float, typer.Option(help="Of made ones in a batch.")] = PLAN.share,
    stylist_steps: Annotated[int, typer.Option(min=1)] = STYLIST.steps,
    workspace: Annotated[
        Path, typer.Option(help="Outcomes by seed; what is there is not done again.")
    ] = Path("runs/characters"),
    as_json: Annotated[bool, typer.Option("--json", help="Figures as the last line.")] = False,
) -> None:
    """A recogniser learns from a few real characters, augmented and not, joined by made ones."""
    torch.set_num_threads(1)
    pictures = read_pictures(data)
    plan = Plan(
        each=each,
        made=tuple(made or PLAN.made),
        steps=steps,
        share=share,
        stylist=StylistSettings(steps=stylist_steps),
    )
    outcomes = [
        compare(
            drawn(pictures, plan, seed),
            plan,
            seed=seed,
            workspace=workspace,
            say=lambda line: print(line, flush=True),
        )
        for seed in range(first_seed, first_seed + seeds)
    ]
    found = Comparison(outcomes)
    found.draw(out)
    print(found.table)
    if as_json:
        print(json.dumps(found.figures))


def transfer_command(
    model: ModelOption,
    data: DataOption,
    out: Annotated[Path, typer.Option(help="PNG: a row a style, a column a content.")],
    models: StoreOption = Path("models"),
    styles: Annotated[int, typer.Option(min=1)] = 10,
    contents: Annotated[int, typer.Option(min=1)] = 16,
    seed: int = 0,
) -> None:
    """Every content in every style. First column: the styles; last: the real picture nearest to
    the first that was made in that row."""
    torch.set_num_threads(1)
    stored = ModelStore(models).load(model)
    found = transfer(stored, read_pictures(data), styles=styles, contents=contents, seed=seed)
    draw_sheet(found.images, out, columns=found.columns)


def plates_command(
    model: ModelOption,
    data: DataOption,
    out: Annotated[Path, typer.Option(help="An empty folder.")],
    n: Annotated[int, typer.Option("--n", help="Plates to make.", min=1)] = 1000,
    models: StoreOption = Path("models"),
    seed: int = 0,
) -> None:
    """Chinese licence plates that belong to nobody, each in the style of one real character, with
    their texts."""
    torch.set_num_threads(1)
    stored = ModelStore(models).load(model)
    plates = make_plates(stored, read_pictures(data), n, seed)
    made = write_plates(plates, out, model=stored, data=data.name, seed=seed)
    print(f"{made.manifest.counts['pictures']} plates in {out}")
