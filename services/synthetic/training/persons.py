"""Labelled crops -> a data set of the same people in other cameras' styles, or of people who are
nobody, with Market-1501's file names: what a re-ID training may take beside its real crops.

A made crop is named after the person it shows and the camera whose style it has;
`lineage.csv` says which real crop, and whose camera's, it was made of.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from services.synthetic.training.lineage import LINEAGE
from services.synthetic.training.making import make
from services.synthetic.training.market import NO_CAMERA, crop_of
from shared.errors import Malformed
from shared.made_data import DataKind, LabelPolicy, MadeAbout, MadeFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from services.synthetic.training.market import PersonCrop
    from services.synthetic.training.restyling import Restyle
    from shared.made_data import MadeData
    from shared.model_store import StoredModel

EPSILON = 0.1
"""Of the labels of restyled crops (CamStyle, CVPR 2018)."""

CAMERA = re.compile(r"c\d+")
"""The name of a class that is a camera."""

CHUNK = 32
SAID_EVERY = 1000


@dataclass(frozen=True)
class Origin:
    """What the manifest says that no crop can know. model: None for what needs none. how: what else
    tells how to make it again, as JSON. policy, epsilon: of the labels; None: what suits them."""

    name: str
    system: str
    seed: int
    data: str
    licence: str
    model: StoredModel | None = None
    how: Mapping[str, Any] = field(default_factory=dict)
    policy: LabelPolicy | None = None
    epsilon: float | None = None


@dataclass(frozen=True)
class Pair:
    """A real crop and the camera whose style it is to have."""

    crop: PersonCrop
    target: int


def pairs_of(crops: Sequence[PersonCrop], sources: set[int], targets: set[int]) -> list[Pair]:
    """Every crop of the sources with every other target, those of one way one after the other."""
    found = [
        Pair(crop, target)
        for target in sorted(targets)
        for crop in crops
        if crop.camera in sources and crop.camera != target
    ]
    return sorted(found, key=lambda pair: (pair.target, pair.crop.camera))


def ways_between(
    model: StoredModel, data: MadeData, targets: Sequence[str] = ()
) -> tuple[list[Pair], list[int]]:
    """All that the model can make of the people of a data set, and the cameras that its classes
    stand for, as Translation wants them. targets: to whose style, by the names of classes; none: to
    that of all. Nobody (-1, 0) is made: a picture of nobody teaches no one.

    Raises Malformed (`no_cameras`, `unknown_class`, `crop_name`) and what MadeData.images raises.
    """
    sources, domains = _cameras(model)
    wanted = {int(name[1:]) for name in targets} or set(domains)
    if unknown := wanted - set(domains):
        raise Malformed(
            f"{model.card.name} makes no crops in the style of c{min(unknown)}, but of"
            f" {', '.join(f'c{domain}' for domain in domains)}",
            code="unknown_class",
        )
    crops = [crop for crop in map(crop_of, data.images) if crop.person > 0]
    return pairs_of(crops, set(sources), wanted), domains


def _cameras(model: StoredModel) -> tuple[list[int], list[int]]:
    """Whose crops the model translates, and to whose style: to all of them, or from the first to
    the second. Raises Malformed (`no_cameras`)."""
    names = model.card.settings.get("names", ())
    found = [int(name[1:]) for name in names if CAMERA.fullmatch(name)]
    if not found or len(found) < len(names):
        raise Malformed(
            f"{model.card.name} has learnt of {', '.join(names) or 'no classes'}, which are no"
            " cameras: learn it by POST /v1/styles of a data set of persons",
            code="no_cameras",
        )
    if "targets" in model.card.settings["inputs"]:
        return found, found
    return found[:1], found[1:2]


def restyle_persons(
    pairs: Sequence[Pair],
    restyle: Restyle,
    out: Path,
    origin: Origin,
    say: Callable[[str], None] = lambda _: None,
) -> MadeData:
    """Writes a made crop of each pair. Raises what `restyle` and MadeFolder raise."""
    folder = MadeFolder(out)
    sizes: set[tuple[int, ...]] = set()
    lines = ["file,person,source_camera,target_camera,source_file"]
    for number, (pair, made) in enumerate(_made(pairs, restyle), 1):
        person, target = pair.crop.person, pair.target
        name = f"{person:04}_c{target}s1_{number:06}_00.png"
        folder.add(f"images/{name}", _png(made))
        sizes.add(made.shape[:2])
        lines.append(f"{name},{person},{pair.crop.camera},{target},{pair.crop.path.name}")
        if number % SAID_EVERY == 0:
            say(f"{number} of {len(pairs)} crops")
    folder.add(LINEAGE, ("\n".join(lines) + "\n").encode())
    cameras = {pair.target for pair in pairs}
    counts = {
        "pictures": len(pairs),
        "people": len({pair.crop.person for pair in pairs}),
        "cameras": len(cameras),
    }
    about = _about(origin, counts, sizes, LabelPolicy.LSR)
    crops = {
        "classes": tuple(sorted(f"c{camera}" for camera in cameras)),
        "lineage": about.lineage | {"crops": LINEAGE},
    }
    return folder.close(about.model_copy(update=crops))


def draw_persons(count: int, out: Path, origin: Origin) -> MadeData:
    """Writes people who are nobody, drawn by the origin's unconditional model.

    Raises ValueError where there is no model, and what `make` and MadeFolder raise.
    """
    if origin.model is None:
        raise ValueError("nobody draws: the origin names no model")
    folder = MadeFolder(out)
    made, _ = make(origin.model, count, origin.seed)
    for number, image in enumerate(made, 1):
        folder.add(f"images/0000_c{NO_CAMERA}s1_{number:06}_00.png", _png(image.transpose(1, 2, 0)))
    sizes = {image.shape[1:] for image in made}
    return folder.close(_about(origin, {"pictures": count}, sizes, LabelPolicy.LSRO))


def _made(pairs: Sequence[Pair], restyle: Restyle) -> Iterator[tuple[Pair, NDArray[np.uint8]]]:
    for chunk in _chunks(pairs):
        first = chunk[0]
        crops = [pair.crop.read() for pair in chunk]
        yield from zip(chunk, restyle(crops, first.crop.camera, first.target), strict=True)


def _chunks(pairs: Sequence[Pair]) -> Iterator[list[Pair]]:
    """Each of one source and one target."""
    chunk: list[Pair] = []
    for pair in pairs:
        full = len(chunk) == CHUNK
        if chunk and (full or _way(pair) != _way(chunk[0])):
            yield chunk
            chunk = []
        chunk.append(pair)
    if chunk:
        yield chunk


def _way(pair: Pair) -> tuple[int, int]:
    return pair.crop.camera, pair.target


def _about(
    origin: Origin, counts: dict[str, int], sizes: set[tuple[int, ...]], usual: LabelPolicy
) -> MadeAbout:
    """sizes: (H, W) of the crops. usual: policy, where none was asked for."""
    model = origin.model
    lineage: dict[str, Any] = {"data": origin.data, **origin.how}
    if model is not None:
        lineage["model_trained_on"] = model.card.training_data
    height, width = sizes.pop() if len(sizes) == 1 else (None, None)
    return MadeAbout(
        name=origin.name,
        kind=DataKind.PERSONS,
        system=origin.system,
        model=model.card.name if model else None,
        model_sha256=model.digest if model else None,
        seed=origin.seed,
        label_policy=origin.policy or usual,
        epsilon=EPSILON if (origin.policy, usual) == (None, LabelPolicy.LSR) else origin.epsilon,
        lineage=lineage,
        counts=counts,
        licence=origin.licence,
        width=width,
        height=height,
    )


def _png(image: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))[1].tobytes()
