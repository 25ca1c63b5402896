"""Command line -> tracks replayed through the gallery's own writer -> IDF1 and calibration."""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from services.reid.core.identity import IdentitySettings
from services.reid.embedder import Embedder
from services.reid.training.crops import of_market_list
from services.reid.training.replay import city, wildtrack
from services.reid.training.replay.footage import clips
from services.reid.training.replay.gallery import replayed
from services.reid.training.replay.report import report
from services.reid.training.replay.tracklets import Teller
from shared.errors import CityBrainError
from shared.inference import open_session
from shared.model_store import ModelStore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from services.reid.training.replay.footage import Look
    from services.reid.training.replay.gallery import Given
    from shared.messages import TrackletsEmbedded

cli = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

CLIP_S = 3.2
"""Of footage in a clip: sixteen analysed frames at five a second."""

Model = Annotated[str, typer.Option(help="A stored model.")]
Models = Annotated[Path, typer.Option(help="The store.")]
Gated = Annotated[bool, typer.Option("--gate/--no-gate", help="Crops count by their quality.")]
Places = Annotated[bool, typer.Option(help="Overlapping views compare where people stand.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object, last line.")]


@cli.command("wildtrack")
def wildtrack_command(
    tracks: Annotated[Path, typer.Option(help="Folder of WILDTRACK's annotations.")],
    crops: Annotated[Path, typer.Option(help="Market-1501, with split_500_251.")],
    split: Annotated[str, typer.Option(help="test: its 251 people; train: the 500.")] = "test",
    people: Annotated[int, typer.Option(help="At most.")] = wildtrack.MOST_PEOPLE,
    seconds: Annotated[float, typer.Option(help="Of the footage's 200.")] = 200.0,
    covered: Annotated[bool, typer.Option(help="Who stands nearer hides others.")] = True,
    box_error: Annotated[
        float,
        typer.Option(help="Of a detector, at each edge, in the box's sides; 0: as annotated."),
    ] = wildtrack.ERROR,
    seed: Annotated[int, typer.Option(help="Who wears what, and what a detector misses.")] = 0,
    model: Model = "msp-cnn",
    models: Models = Path("models"),
    gate: Gated = True,
    places: Places = True,
    as_json: AsJson = False,
) -> None:
    """Real tracks through seven views that overlap, in other people's clothes."""
    until = seconds * wildtrack.FRAMES_A_SECOND
    annotations = [it for it in wildtrack.read_annotations(tracks) if it.frame < until]
    lists = ("train",) if split == "train" else ("query", "gallery")
    worn = [crop for name in lists for crop in of_market_list(crops, name)]
    dressing = wildtrack.Dressing.of(annotations, worn, seed, people)
    looks = wildtrack.looks(annotations, dressing, covered=covered, error=box_error, seed=seed)
    _replay(looks, model, models, gate, places, as_json)


@cli.command("city")
def city_command(
    data: Annotated[Path, typer.Option(help="Footage of a simulated city, layout video.")],
    model: Model = "msp-cnn",
    models: Models = Path("models"),
    gate: Gated = True,
    places: Places = True,
    as_json: AsJson = False,
) -> None:
    """A simulated city's people, found as they are: what is judged is who they are."""
    _replay(city.looks(data), model, models, gate, places, as_json)


def _replay(
    looks: Iterable[Look], model: str, models: Path, gate: bool, places: bool, as_json: bool
) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    store = ModelStore(models)
    stored = store.load(model)
    embedder = Embedder(stored, open_session(stored.path))
    told = list(Teller(embedder, model, stored.digest, gated=gate).tell(clips(looks, CLIP_S)))
    usual = IdentitySettings()
    settings = replace(usual, graph=replace(usual.graph, places=places))
    given = asyncio.run(_in_gallery([it.message for it in told], store, settings))
    found = report([sight for it in told for sight in it.sights], given)
    print(found.table())
    if as_json:
        print(json.dumps(found.as_json()))


async def _in_gallery(
    messages: Iterable[TrackletsEmbedded], store: ModelStore, settings: IdentitySettings
) -> dict[str, Given]:
    with tempfile.TemporaryDirectory() as folder:
        return await replayed(messages, store, settings, Path(folder))


if __name__ == "__main__":
    try:
        cli()
    except CityBrainError as error:
        raise SystemExit(f"error: {error}") from error
