"""The job system.train: a data set -> a system that has learnt from it -> a model in the store.

A process that dies is followed by another, which goes on from the last checkpoint. sheet.png in the
job's folder shows what the system makes, time and again while it learns.
"""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch

from services.synthetic.settings import SyntheticSettings
from services.synthetic.shelf import Shelf
from services.synthetic.training.fleet import Fleet
from services.synthetic.training.making import Draws
from services.synthetic.training.pictures import read_pictures
from services.synthetic.training.registry import decided_by, entry_of
from services.synthetic.training.settings import TrainingSettings
from services.synthetic.training.sheet import draw_sheet
from services.synthetic.training.shipping import Provenance, ship
from services.synthetic.training.trainer import LOG, Trainer
from shared.courtesy import Courtesy
from shared.data_folder import raise_if_full
from shared.durable_file import write_durably
from shared.errors import Malformed
from shared.made_data import IMAGES, SHEET, MadeData
from shared.mark import marked
from shared.model_store import ModelStore
from shared.topics import Group

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from services.synthetic.learning import TrainingParams
    from services.synthetic.training.pictures import Pictures
    from shared.jobs import JobContext

RESULT, WORK = "result.json", "work"

TRAINED = 0.95
"""Of the job's progress, when the last step is done."""

SAVE_EVERY = 100
SAYINGS, SHEETS = 200, 10
"""In the course of a training: lines of losses, and sheets."""

SHOWN, COLUMNS = 40, 10


def learn(params: TrainingParams, context: JobContext) -> dict[str, Any]:
    """Raises Missing (`unknown_dataset`, `unknown_system`), Conflict (`model_exists`), Malformed
    (`too_few_pictures`, `too_few_classes`, `unknown_class`, `unknown_setting`, `bad_setting`,
    `bad_size`, `diverged`), Unavailable (`disk_full`), and what MadeData.read raises."""
    done = context.folder / RESULT
    if done.exists():
        result: dict[str, Any] = json.loads(done.read_text())
        return result
    settings = SyntheticSettings()
    torch.set_num_threads(settings.training_threads)
    store = ModelStore(*settings.model_folders)
    try:
        store.claim(params.model, context.job_id)
        result = _learn(params, context, settings)
        write_durably(done, json.dumps(result).encode())
    except OSError as error:
        raise_if_full(error, context.folder)
        raise
    finally:
        # One that is stopped may never go on: another may have the name, if it comes first.
        store.release(params.model, context.job_id)
    shutil.copyfile(context.folder / WORK / LOG, context.folder / LOG)
    shutil.rmtree(context.folder / WORK, ignore_errors=True)
    return result


def _learn(
    params: TrainingParams, context: JobContext, settings: SyntheticSettings
) -> dict[str, Any]:
    context.report(0, 1, "reads the data set and compares its checksums")
    data = MadeData.read(Shelf(settings.datasets_folder).get(params.dataset_id).folder)
    pictures = sized(pictures_of(data, params.classes), params.height, params.width)
    trainer = _trainer(params, pictures, context.folder / WORK)
    with closing(Courtesy(settings, Group.ANOMALY, settings.training_waits_at)) as courtesy:
        _train(trainer, pictures, context, courtesy)
    context.report(TRAINED, 1, "exports the network, and proves that the file does the same")
    context.checkpoint()
    # Somebody may have removed the claim by hand, and another may have made the model since.
    ModelStore(*settings.model_folders).claim(params.model, context.job_id)
    told = _provenance(params, data, pictures)
    stored = ship(trainer, settings.model_folders[0] / params.model, told)
    return {
        "model": stored.card.name,
        "sha256": stored.digest,
        "system": params.system,
        "dataset_id": params.dataset_id,
        "classes": list(pictures.classes),
        "steps": trainer.step,
        "minutes": round(trainer.minutes, 2),
    }


def pictures_of(data: MadeData, classes: Sequence[str] = ()) -> Pictures:
    """classes: whose pictures are wanted, in the order of their labels from now on; none: all.

    Raises Malformed (`unknown_class`) and what `read_pictures` raises.
    """
    found = replace(read_pictures(data.folder / IMAGES), name=data.manifest.name)
    if data.manifest.channels == 1:
        found = replace(found, images=np.ascontiguousarray(found.images[:, :1]))
    if not classes:
        return found
    if unknown := [name for name in classes if name not in found.classes]:
        raise Malformed(
            f"{found.name} has no class {', '.join(unknown)}; it has {', '.join(found.classes)}",
            code="unknown_class",
        )
    wanted = [found.classes.index(name) for name in classes]
    rows = np.flatnonzero(np.isin(found.labels, wanted))
    labels = np.array([wanted.index(label) for label in found.labels[rows]], np.int64)
    return replace(found.chosen(rows), labels=labels, classes=tuple(classes))


def sized(pictures: Pictures, height: int | None, width: int | None) -> Pictures:
    """Brought to that size; None: as they are."""
    wanted = (width or pictures.images.shape[3], height or pictures.images.shape[2])
    if wanted == (pictures.images.shape[3], pictures.images.shape[2]):
        return pictures
    resized = [
        cv2.resize(channel, wanted, interpolation=cv2.INTER_AREA)
        for picture in pictures.images
        for channel in picture
    ]
    shape = (*pictures.images.shape[:2], wanted[1], wanted[0])
    return replace(pictures, images=np.stack(resized).reshape(shape).astype(np.uint8))


def _trainer(params: TrainingParams, pictures: Pictures, folder: Path) -> Trainer:
    entry = entry_of(params.system)
    chosen = entry.settings_of(params.settings | decided_by(pictures, entry.defaults))
    torch.manual_seed(params.seed)
    return Trainer(
        entry.built(chosen),
        pictures,
        TrainingSettings(
            steps=params.steps, batch=params.batch, average=params.average, seed=params.seed
        ),
        folder,
        identity={"system": params.system, "dataset": params.dataset_id, **asdict(chosen)},
        fleet=Fleet.joined(),
    )


def _train(trainer: Trainer, pictures: Pictures, context: JobContext, courtesy: Courtesy) -> None:
    steps = trainer.settings.steps
    sheet_every = max(1, steps // SHEETS)
    said = ""

    def say(line: str) -> None:
        nonlocal said
        said = line

    def between() -> None:
        context.report(TRAINED * trainer.step, steps, said)
        if trainer.step % sheet_every == 0 or trainer.step == steps:
            _draw(trainer, pictures, context.folder / SHEET)
        context.checkpoint()
        courtesy.yield_to_clips(context)

    trainer.run(say, every_steps=max(1, steps // SAYINGS), save_every=SAVE_EVERY, between=between)


def _draw(trainer: Trainer, pictures: Pictures, path: Path) -> None:
    """What the system makes by now, marked as made."""
    settings, maker = trainer.system.settings, trainer.maker
    draws = Draws(SHOWN, trainer.settings.seed, pictures)
    widths = {"noise": getattr(settings, "noise", 0), "targets": getattr(settings, "classes", 0)}
    names = list(trainer.system.example(1, torch.Generator()))
    device = next(maker.parameters()).device
    given = [torch.from_numpy(draws.of(name, widths.get(name, 0))).to(device) for name in names]
    was_training = maker.training
    maker.eval()
    with torch.no_grad():
        made = maker(*given).cpu().numpy()
    maker.train(was_training)
    part = path.with_name("part.png")
    draw_sheet(np.rint(made * 255).astype(np.uint8), part, columns=COLUMNS)
    write_durably(path, marked(part.read_bytes()))
    part.unlink()


def _provenance(params: TrainingParams, data: MadeData, pictures: Pictures) -> Provenance:
    """pictures: as they were learnt. The manifest may name classes of which there is none."""
    manifest = data.manifest
    of = f" of {', '.join(params.classes)}" if params.classes else ""
    made = ", made" if manifest.synthetic else ""
    return Provenance(
        data=f"{manifest.name}{of}: {manifest.counts.get('pictures', 0)} pictures{made}; listing"
        f" {manifest.sha256}",
        command=f"POST /v1/trainings {params.model_dump_json(exclude_defaults=True)}",
        licence=f"{params.licence}; data: {manifest.licence}",
        classes=pictures.classes,
    )
