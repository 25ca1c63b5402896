"""The job images.generate: a stored model -> a data set on the shelf, under the job's own id.

A process that dies leaves a draft, and the next one begins anew, to the same pictures.
"""

from __future__ import annotations

import io
from collections import Counter
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from PIL import Image

from services.synthetic.settings import SyntheticSettings
from services.synthetic.shelf import Shelf
from services.synthetic.training.learning import pictures_of, sized
from services.synthetic.training.lineage import LINEAGE, Translations, parents_of
from services.synthetic.training.making import made_of
from services.synthetic.training.measuring import Measure
from services.synthetic.training.persons import Origin, restyle_persons, ways_between
from services.synthetic.training.restyling import Translation
from services.synthetic.training.sheet import draw_sheet
from shared.courtesy import Courtesy
from shared.durable_file import write_durably
from shared.errors import Malformed
from shared.images import decode
from shared.made_data import IMAGES, SHEET, DataKind, LabelPolicy, MadeAbout, MadeData, MadeFolder
from shared.mark import marked
from shared.model_store import ModelStore
from shared.topics import Group

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from services.synthetic.generating import GenerationParams
    from services.synthetic.training.pictures import Pictures
    from services.synthetic.training.restyling import Restyle
    from shared.jobs import JobContext
    from shared.model_store import StoredModel

CHUNK = 256
"""Pictures between two looks at whether the job is to stop; whole rounds of all classes."""

COLUMNS, SHOWN = 10, 100


def generate(params: GenerationParams, context: JobContext) -> dict[str, Any]:
    """Raises Missing (`unknown_model`, `unknown_dataset`), Malformed (`makes_nothing`,
    `pictures_needed`, `too_few_pictures`, `too_few_persons`, `no_cameras`, `unknown_class`,
    `not_persons`, `crop_name`, `bad_size`, `no_extractor`), Unavailable (`disk_full`),
    and what MadeData.read and the model's session raise."""
    settings = SyntheticSettings()
    torch.set_num_threads(settings.training_threads)
    shelf = Shelf(settings.datasets_folder)
    if not shelf.has(context.job_id):
        model = ModelStore(*settings.model_folders).load(params.model)
        if "inputs" not in model.card.settings:
            raise Malformed(f"model {params.model} makes no images", code="makes_nothing")
        source = params.dataset_id and MadeData.read(shelf.get(params.dataset_id).folder)
        measure = _measure_of(params, source or None, ModelStore(*settings.model_folders))
        draft = shelf.draft(context.job_id)
        try:
            with closing(Courtesy(settings, Group.ANOMALY, settings.training_waits_at)) as courtesy:
                pause = partial(_pause, context, courtesy)
                _write(params, model, source or None, draft, context, pause)
            if measure:
                measure.join(MadeData.read(draft, verified=False), params.seed)
            shelf.put(context.job_id)
        finally:
            shelf.drop_draft(context.job_id)
    manifest = shelf.get(context.job_id).manifest
    return {
        "dataset_id": context.job_id,
        "counts": manifest.counts,
        "sha256": manifest.sha256,
        "metrics": manifest.metrics,
        "verdict": manifest.verdict.model_dump(mode="json"),
    }


def _measure_of(
    params: GenerationParams, source: MadeData | None, store: ModelStore
) -> Measure | None:
    """Before anything is made: afterwards it would be too late to find that it cannot be."""
    if params.extractor is None or source is None:
        return None
    measure = Measure(store.load(params.extractor), source)
    measure.raise_if_too_few(params.n, params.targets)
    return measure


def _pause(context: JobContext, courtesy: Courtesy) -> None:
    """Between two chunks. Raises JobCancelled."""
    context.checkpoint()
    courtesy.yield_to_clips(context)


def _write(
    params: GenerationParams,
    model: StoredModel,
    source: MadeData | None,
    draft: Path,
    context: JobContext,
    pause: Callable[[], None],
) -> None:
    inputs = model.card.settings["inputs"]
    if source is not None and source.manifest.kind is DataKind.PERSONS and "images" in inputs:
        _restyle(params, model, source, draft, context, pause)
    elif params.targets:
        raise Malformed(
            "only people are made in the style of cameras: name a data set of persons, and a model"
            " that translates, or no targets",
            code="not_persons",
        )
    else:
        _draw(params, model, source, draft, context, pause)


def _draw(
    params: GenerationParams,
    model: StoredModel,
    source: MadeData | None,
    draft: Path,
    context: JobContext,
    pause: Callable[[], None],
) -> None:
    pictures = _fitting(model, source) if source else None
    names = _labels_of(model, pictures)
    folder, translations = MadeFolder(draft), Translations.of(model, source, pictures)
    counts: Counter[str] = Counter()
    shown: list[NDArray[np.uint8]] = []
    step = CHUNK - CHUNK % max(len(names), 1) or len(names)
    for begin in range(0, params.n, step):
        pause()
        (seed,) = np.random.SeedSequence((params.seed, begin)).generate_state(1)
        made = made_of(model, min(step, params.n - begin), int(seed), pictures)
        labels = [names[label] for label in made.labels.tolist()] if names else []
        files = [
            f"{labels[row]}/{begin + row:06d}.png" if labels else f"{begin + row:06d}.png"
            for row in range(len(made.images))
        ]
        for file, image in zip(files, made.images, strict=True):
            folder.add(f"{IMAGES}/{file}", _png(image))
        if translations:
            translations.add(files, made)
        counts.update(labels)
        shown.extend(made.images[: SHOWN - len(shown)])
        done = begin + len(files)
        context.report(done, params.n, f"{done} of {params.n} pictures")
    folder.add(SHEET, _sheet(np.stack(shown), draft, len(names)))
    if translations:
        folder.add(LINEAGE, translations.body)
    # Classes that nobody drew have no folder: no reader would find them.
    found = {name: counts[name] for name in names if counts[name]}
    folder.close(_about(params, model, source, found, shown[0].shape))


def _fitting(model: StoredModel, source: MadeData) -> Pictures:
    """The pictures at the size that the model takes. Raises Malformed (`bad_size`) where they have
    other channels."""
    settings = model.card.settings
    found = sized(pictures_of(source), settings.get("height"), settings.get("width"))
    channels = found.images.shape[1]
    if channels != settings.get("channels", channels):
        raise Malformed(
            f"{model.card.name} takes pictures of {settings['channels']} channels;"
            f" {source.manifest.name} has {channels}",
            code="bad_size",
        )
    return found


def _about(
    params: GenerationParams,
    model: StoredModel,
    source: MadeData | None,
    found: dict[str, int],
    shape: tuple[int, ...],
) -> MadeAbout:
    """found: pictures by class. shape: of every picture."""
    channels, height, width = shape
    translated = {"pictures": LINEAGE} if "images" in model.card.settings["inputs"] else {}
    return MadeAbout(
        name=params.name,
        kind=source.manifest.kind if source else DataKind.PICTURES,
        system=model.card.settings["system"],
        model=model.card.name,
        model_sha256=model.digest,
        seed=params.seed,
        label_policy=params.label_policy or (LabelPolicy.HARD if found else LabelPolicy.NONE),
        epsilon=params.epsilon,
        lineage=parents_of(model, source) | translated,
        counts={"pictures": params.n, **{f"of {name}": count for name, count in found.items()}},
        licence=params.licence or model.card.licence,
        classes=tuple(found),
        width=width,
        height=height,
        channels=1 if channels == 1 else 3,
    )


def _labels_of(model: StoredModel, pictures: Pictures | None) -> Sequence[str]:
    """Names of the labels that `make` gives: none where it knows of no classes."""
    inputs = model.card.settings["inputs"]
    labelled = "contents" in inputs or "images" in inputs
    return pictures.classes if pictures and labelled else ()


def _restyle(
    params: GenerationParams,
    model: StoredModel,
    source: MadeData,
    draft: Path,
    context: JobContext,
    pause: Callable[[], None],
) -> None:
    """The people of the data set as other cameras of the model see them. Raises Malformed
    (`too_few_persons`) where there are not so many ways from a crop to another camera."""
    pairs, domains = ways_between(model, source, params.targets)
    if len(pairs) < params.n:
        raise Malformed(
            f"{source.manifest.name} has {len(pairs)} ways from a crop of somebody to"
            f" {' or '.join(params.targets) or f'another camera that {params.model} knows'}; ask"
            " for at most as many",
            code="too_few_persons",
        )
    drawn = np.random.default_rng(params.seed).choice(len(pairs), params.n, replace=False)
    chosen = [pairs[row] for row in sorted(drawn.tolist())]
    origin = Origin(
        name=params.name,
        system=model.card.settings["system"],
        seed=params.seed,
        data=f"{source.manifest.name}, data set {source.folder.name}",
        licence=params.licence or model.card.licence,
        model=model,
        policy=params.label_policy,
        epsilon=params.epsilon,
        how=parents_of(model, source) | ({"targets": params.targets} if params.targets else {}),
    )
    restyle = _watched(Translation(model, domains), context, params.n, pause)
    made = restyle_persons(chosen, restyle, draft, origin)
    crops = [decode(path.read_bytes(), "rgb") for path in made.images[:SHOWN]]
    height, width = crops[0].shape[:2]
    sized = np.stack([cv2.resize(crop, (width, height)) for crop in crops]).transpose(0, 3, 1, 2)
    # Beside the data set, whose listing is closed.
    sheet = _sheet(sized.astype(np.uint8), context.folder, COLUMNS)
    write_durably(context.folder / SHEET, marked(sheet))


def _watched(
    restyle: Restyle, context: JobContext, total: int, pause: Callable[[], None]
) -> Restyle:
    """Between any two chunks it tells how far it is, and stops where it is told to."""
    done = 0

    def watched(
        crops: Sequence[NDArray[np.uint8]], source: int, target: int
    ) -> list[NDArray[np.uint8]]:
        nonlocal done
        pause()
        made = restyle(crops, source, target)
        done += len(made)
        context.report(done, total, f"{done} of {total} crops")
        return made

    return watched


def _sheet(images: NDArray[np.uint8], draft: Path, classes: int) -> bytes:
    path = draft / "part.png"
    draw_sheet(images, path, columns=min(classes or COLUMNS, COLUMNS))
    body = path.read_bytes()
    path.unlink()
    return body


def _png(image: NDArray[np.uint8]) -> bytes:
    """image: (C, H, W)."""
    packed = io.BytesIO()
    Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)).save(packed, "PNG")
    return packed.getvalue()
