"""The job reid.collect: labelled people, and whoever live cameras saw -> a data set of cameras.

A style is learnt from it, and people are restyled of it. Labelled crops stand in it as they are,
but for those of people whom a training with the same share holds out: what a style has seen of
them, it could give away. Crops of live cameras are small and nobody's (Market-1501's -1).

It is personal data: small crops under no name can still be found again. Who was forgotten before it
is written is not in it. Who is forgotten later stays in it until it is deleted, as whoever has
asked for it must do.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2

from services.reid.gallery.glimpses import Glimpses
from services.reid.settings import ReidSettings
from services.reid.training.crops import of_market_names
from services.reid.training.roster import divided
from shared.blobs import FolderBlobs
from shared.courtesy import patiently
from shared.data_folder import raise_if_full
from shared.database import Database
from shared.errors import Conflict
from shared.made_data import IMAGES, DataKind, LabelPolicy, MadeAbout, MadeData, MadeFolder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from services.reid.retraining import CollectingParams
    from services.reid.training.crops import Crop
    from shared.images import Pixels
    from shared.jobs import JobContext

LEAST = 16
"""Crops of a live camera: fewer say more of who came by than of how the camera sees."""

NOBODY = -1
READ = 0.5
"""Of the job's progress, when the crops of live cameras are read."""

COPIED_AT_ONCE = 200
"""Labelled crops between two looks at whether the job is to stop."""


@dataclass(frozen=True)
class Collection:
    """labelled: crops as they are. numbers: of all cameras that were asked for, by their names.
    seen: small crops of the live ones among them."""

    parent: MadeData
    labelled: Sequence[Crop]
    numbers: dict[str, int]
    seen: dict[str, list[Pixels]]

    @property
    def ways(self) -> int:
        """From a crop of somebody to another camera that was asked for."""
        people = [crop.camera for crop in self.labelled if crop.person > 0]
        return sum(camera != number for number in self.numbers.values() for camera in people)


def collect(params: CollectingParams, context: JobContext) -> dict[str, Any]:
    """Raises Missing (`no_manifest`), Corrupt, Malformed (`not_persons`, `made_labels`,
    `crop_name`), Conflict (`too_few_people`, `too_few_crops`), Unavailable (`disk_full`)."""
    settings = ReidSettings()
    folder = settings.datasets_folder / context.job_id
    if not folder.is_dir():
        draft = folder.with_name(f".new-{folder.name}")
        shutil.rmtree(draft, ignore_errors=True)  # of a process that died while it wrote
        context.report(0, 1, "reads and verifies the data set of labelled people")
        try:
            collection = _collection(params, settings, context)
            _write(collection, draft, context)
            draft.rename(folder)
        except OSError as error:
            raise_if_full(error, folder.parent)
            raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    manifest = MadeData.read(folder, verified=False).manifest
    told = {name: manifest.lineage[name] for name in ("cameras", "ways")}
    return {"dataset_id": folder.name, "counts": manifest.counts, **told}


def _collection(
    params: CollectingParams, settings: ReidSettings, context: JobContext
) -> Collection:
    parent, learnt, _ = divided(settings.datasets_folder / params.labelled, params.held_out)
    nobody = [crop for crop in of_market_names(parent.images) if crop.person <= 0]
    labelled = [*learnt, *nobody]
    taken = {crop.camera for crop in labelled}
    numbers = _numbers(params.cameras, taken)
    seen = {}
    for camera_id in (name for name, number in numbers.items() if number not in taken):
        context.report(0, 1, f"reads crops of camera {camera_id}")
        context.checkpoint()
        read = partial(_read, camera_id, params, settings)
        seen[camera_id] = patiently(read, context)
        _check_enough(camera_id, len(seen[camera_id]))
    return Collection(parent, labelled, numbers, seen)


def _numbers(asked: Sequence[str], taken: set[int]) -> dict[str, int]:
    """Cameras of the labelled data set have theirs; each other one gets a free one, in order."""
    own = {f"c{number}": number for number in taken}
    numbers: dict[str, int] = {}
    free = max(taken) + 1
    for name in dict.fromkeys(asked):
        numbers[name] = own.get(name, free)
        free += name not in own
    return numbers


def _read(camera_id: str, params: CollectingParams, settings: ReidSettings) -> list[Pixels]:
    return asyncio.run(_seen(camera_id, params, settings))


async def _seen(camera_id: str, params: CollectingParams, settings: ReidSettings) -> list[Pixels]:
    database = Database(settings.database_of("reid"))
    blobs = FolderBlobs(settings.blobs)
    try:
        glimpses = Glimpses(database, blobs, settings.min_quality, params.height, params.width)
        return await glimpses.of(camera_id, params.crops)
    finally:
        await database.close()


def _check_enough(camera_id: str, crops: int) -> None:
    if crops < LEAST:
        raise Conflict(
            f"of camera {camera_id!r} {crops} crops of people are stored that are good enough;"
            f" {LEAST} or more are needed to learn how it sees: let it watch for longer, or name a"
            " camera of the labelled data set",
            code="too_few_crops",
        )


def _write(collection: Collection, draft: Path, context: JobContext) -> None:
    folder = MadeFolder(draft, synthetic=False)
    counts: Counter[str] = Counter()
    for n, crop in enumerate(collection.labelled):
        if n % COPIED_AT_ONCE == 0:
            context.checkpoint()
            context.report(READ + (1 - READ) * n / len(collection.labelled), 1, "copies crops")
        folder.add(f"{IMAGES}/{crop.path.name}", crop.path.read_bytes())
        counts[f"c{crop.camera}"] += 1
    for camera_id, crops in collection.seen.items():
        number = collection.numbers[camera_id]
        for n, pixels in enumerate(crops, 1):
            body = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
            folder.add(f"{IMAGES}/{NOBODY}_c{number}s1_{n:06}_00.png", body)
        counts[f"c{number}"] += len(crops)
    folder.close(_about(collection, counts))


def _about(collection: Collection, counts: Counter[str]) -> MadeAbout:
    parent = collection.parent.manifest
    live = ", ".join(collection.seen)
    return MadeAbout(
        name=f"{parent.name}{f', and {live}' if live else ''}"[:128],
        kind=DataKind.PERSONS,
        synthetic=False,
        label_policy=LabelPolicy.HARD,
        lineage={
            "parents": [
                {
                    "name": parent.name,
                    "id": collection.parent.folder.name,
                    "sha256": parent.sha256,
                }
            ],
            "cameras": {name: f"c{number}" for name, number in collection.numbers.items()},
            "ways": collection.ways,
        },
        counts={
            "pictures": counts.total(),
            **{f"of {name}": counts[name] for name in sorted(counts)},
        },
        licence=f"{parent.licence}{'; crops of live cameras: of this city' if live else ''}",
        classes=tuple(sorted(counts)),
    )
