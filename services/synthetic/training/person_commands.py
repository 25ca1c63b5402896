"""The commands about person crops: `crops` to learn from, `persons` that are made, `measure`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from services.synthetic.training.features import MEASURED, Extractor, compared
from services.synthetic.training.market import (
    NO_CAMERA,
    cameras_of,
    crop_of,
    pictures_of,
    training_crops,
)
from services.synthetic.training.persons import Origin, draw_persons, pairs_of, restyle_persons
from services.synthetic.training.restyling import (
    COLOUR_TRANSFER,
    CONTROLS,
    ColourJitter,
    ColourTransfer,
    Translation,
)
from shared.made_data import MadeData
from shared.model_store import ModelStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.synthetic.training.market import PersonCrop
    from services.synthetic.training.restyling import Restyle
    from shared.model_store import StoredModel

NOBODIES = 8000
RESEARCH = "research use: made from crops of real people that may be used for research"

Market = Annotated[Path, typer.Option(help="A folder of Market-1501's layout.")]


def crops_command(
    data: Market,
    out: Annotated[Path, typer.Option(help="FILE.npz, which `train` takes.")],
    camera: Annotated[list[int] | None, typer.Option(help="Some cameras. [all]")] = None,
    height: int = 32,
    width: int = 16,
    without_held_out: Annotated[
        bool, typer.Option(help="Leave out those whom `uplift --validation` tests on.")
    ] = False,
) -> None:
    """Crops of the training people, small, a class a camera: for translators to learn from."""
    crops = training_crops(data, without_held_out=without_held_out)
    found = pictures_of(data.name, crops, camera or cameras_of(crops), height, width)
    out.parent.mkdir(parents=True, exist_ok=True)
    images = found.images.transpose(0, 2, 3, 1)
    np.savez_compressed(out, images=images, labels=found.labels, classes=np.array(found.classes))
    print(f"{len(found)} crops of {', '.join(found.classes)} in {out}")


def persons_command(
    data: Market,
    out: Annotated[Path, typer.Option(help="The data set's folder; empty, or not there yet.")],
    system: Annotated[str | None, typer.Option(help=f"{' or '.join(CONTROLS)}, ...")] = None,
    model: Annotated[str | None, typer.Option(help="... or a stored model's name.")] = None,
    models: Annotated[Path, typer.Option(help="The store's folder.")] = Path("models"),
    source: Annotated[list[int] | None, typer.Option(help="Cameras of the crops. [all]")] = None,
    target: Annotated[list[int] | None, typer.Option(help="Cameras to look like. [all]")] = None,
    domain: Annotated[
        list[int] | None,
        typer.Option(help="The cameras of the model's classes, in order; one for a pair. [all]"),
    ] = None,
    over_colours: Annotated[
        bool, typer.Option(help="Transfer colours first, and translate what comes of it.")
    ] = False,
    n: Annotated[
        int | None,
        typer.Option("--n", help="At most so many, drawn. [all; of nobody, 8000]", min=1),
    ] = None,
    seed: int = 0,
    licence: str = RESEARCH,
) -> None:
    """Makes people: the same ones in other cameras' styles, or by a model of noise, nobody's."""
    if (system is None) == (model is None) or (system is not None and system not in CONTROLS):
        raise typer.BadParameter(f"name --system {' or '.join(CONTROLS)}, or a --model")
    stored = ModelStore(models).load(model) if model is not None else None
    kind = str(stored.card.settings["system"]) if stored else str(system)
    how = {"sources": source, "targets": target, "domains": domain, "over_colours": over_colours}
    origin = Origin(out.name, kind, seed, data.name, licence, stored, how)
    if stored is not None and "noise" in stored.card.settings.get("inputs", ()):
        _tell(draw_persons(n or NOBODIES, out, origin))
        return
    crops = training_crops(data)
    cameras = cameras_of(crops)
    restyle = _restyle(stored, kind, crops, domain or cameras, seed, over_colours=over_colours)
    pairs = pairs_of(crops, set(source or cameras), set(target or cameras))
    if n is not None:
        drawn = np.random.default_rng(seed).permutation(len(pairs))[:n]
        pairs = [pairs[row] for row in sorted(drawn)]
    _tell(restyle_persons(pairs, restyle, out, origin, lambda line: print(line, flush=True)))


def measure_command(
    made: Annotated[Path, typer.Option(help="The data set of persons to measure.")],
    data: Market,
    extractor: Annotated[
        str, typer.Option(help="A stored model whose features compare; inception-v3 gives FID.")
    ] = "msp-cnn",
    models: Annotated[Path, typer.Option(help="The store's folder.")] = Path("models"),
    n: Annotated[int, typer.Option("--n", help="Pictures of each side, at most.")] = MEASURED,
    seed: int = 0,
) -> None:
    """How like real crops of the cameras whose style they have made ones are, and how much of them
    they cover; the figures join the data set's manifest. What training gains is `uplift`'s to say.
    """
    found = MadeData.read(made)
    cameras = {*cameras_of(map(crop_of, found.images))} - {NO_CAMERA}
    real = [crop.path for crop in training_crops(data) if not cameras or crop.camera in cameras]
    features = Extractor(ModelStore(models).load(extractor))
    figures = compared(features, real, found.images, seed, n)
    found.judged(metrics=figures)
    print(json.dumps(figures))


def _restyle(
    model: StoredModel | None,
    system: str,
    crops: Sequence[PersonCrop],
    domains: Sequence[int],
    seed: int,
    *,
    over_colours: bool,
) -> Restyle:
    if model is not None:
        first = ColourTransfer.of(crops) if over_colours else None
        return Translation(model, domains, first=first)
    if system == COLOUR_TRANSFER:
        return ColourTransfer.of(crops)
    return ColourJitter(np.random.default_rng(seed))


def _tell(made: MadeData) -> None:
    manifest = made.manifest
    about = {"name": manifest.name, **manifest.counts, "sha256": manifest.sha256}
    print(json.dumps(about))
