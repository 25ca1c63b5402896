"""An uploaded archive -> a data set: pictures in a zip, arrays in an .npz, or one of our own."""

from __future__ import annotations

import zipfile
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from services.synthetic.training.sheet import draw_sheet
from services.synthetic.uploads.archive import Entries, sound
from services.synthetic.uploads.content import inspect_picture, pictures_of
from shared.data_folder import LISTING, MANIFEST, check_name, raise_if_full
from shared.errors import Corrupt, Malformed, Missing, UnsupportedMedia
from shared.images import decode
from shared.made_data import IMAGES, SHEET, DataKind, LabelPolicy, MadeAbout, MadeData, MadeFolder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from services.synthetic.uploads.archive import UploadLimits

LEAST = 2
"""Pictures of a data set: nothing can be learnt from one."""

SHOWN, SHOWN_SIDE = 100, 64
"""On a sheet: so many pictures, none larger than that many pixels."""


@dataclass(frozen=True)
class Upload:
    """What is said of an archive by whoever sends it."""

    name: str
    kind: DataKind
    licence: str


def unpack(archive: Path, draft: Path, upload: Upload, limits: UploadLimits) -> MadeData:
    """Writes the data set into the draft's folder.

    Raises UnsupportedMedia (`not_an_archive`), Malformed (`archive_broken`, `too_few_pictures`),
    Unavailable (`disk_full`), and what `pictures_of` raises; of an archive with a manifest of ours
    Malformed (`counts_differ`, `file_checksum` and whatever else `MadeData.read` finds).
    """
    if not zipfile.is_zipfile(archive):
        raise UnsupportedMedia("send a .zip of pictures, or an .npz", code="not_an_archive")
    with sound(), zipfile.ZipFile(archive) as opened:
        entries = Entries(opened, limits)
        if MANIFEST in entries.names:
            return _restored(entries, draft)
        return _written(entries, draft, upload)


def _restored(entries: Entries, draft: Path) -> MadeData:
    """A data set that was fetched as an archive: it comes back as it was, made or real."""
    for name in entries.names:
        if name not in (MANIFEST, LISTING):
            check_name(name)
        target = draft / name
        body = entries.read(name)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(body)
        except OSError as error:
            raise_if_full(error, draft.parent)
            raise
    try:
        data = MadeData.read(draft)
    except (Missing, Corrupt) as error:
        raise Malformed(
            f"the archive is not the data set of its manifest: {error}", code=error.code
        ) from error
    _check(data)
    return data


def _check(data: MadeData) -> None:
    """Whoever wrote the manifest may have written anything: its pictures pass what those without
    one do, and there are as many as it counts. Raises Malformed (`counts_differ`)."""
    images = data.images
    for path in images:
        name = path.relative_to(data.folder).as_posix()
        inspect_picture(name, path.read_bytes(), may_be_made=data.manifest.synthetic)
    if len(images) != data.manifest.counts.get("pictures", len(images)):
        raise Malformed(
            f"the archive holds {len(images)} pictures; its manifest counts"
            f" {data.manifest.counts['pictures']}",
            code="counts_differ",
        )


def _written(entries: Entries, draft: Path, upload: Upload) -> MadeData:
    folder = MadeFolder(draft, synthetic=False)
    labels: Counter[str] = Counter()
    sizes: set[tuple[int, int]] = set()
    shown: list[bytes] = []
    count, all_gray = 0, True
    every = max(len(entries.names) // SHOWN, 1)
    for picture in pictures_of(entries, upload.kind):
        folder.add(f"{IMAGES}/{picture.name}", picture.body)
        sizes.add((picture.width, picture.height))
        all_gray = all_gray and picture.is_gray
        labels.update([picture.label] if picture.label else [])
        if count % every == 0 and len(shown) < SHOWN:
            shown.append(picture.body)
        count += 1
    if count < LEAST:
        raise Malformed(
            f"the archive holds {count} pictures; {LEAST} are the least", code="too_few_pictures"
        )
    folder.add(SHEET, _sheet(shown, draft / SHEET))
    width, height = sizes.pop() if len(sizes) == 1 else (None, None)
    return folder.close(
        MadeAbout(
            name=upload.name,
            kind=upload.kind,
            synthetic=False,
            label_policy=LabelPolicy.HARD if labels else LabelPolicy.NONE,
            counts={"pictures": count, **{f"of {name}": labels[name] for name in sorted(labels)}},
            licence=upload.licence,
            classes=tuple(sorted(labels)),
            width=width,
            height=height,
            channels=1 if all_gray else 3,
        )
    )


def _sheet(bodies: Sequence[bytes], path: Path) -> bytes:
    """Bytes of a PNG; the file is gone again, so that it is added as all others are."""
    pictures = [Image.fromarray(decode(body, "rgb")) for body in bodies]
    first = pictures[0]
    factor = min(1.0, SHOWN_SIDE / max(first.size))
    size = (max(1, round(first.width * factor)), max(1, round(first.height * factor)))
    small = [np.asarray(picture.resize(size)).transpose(2, 0, 1) for picture in pictures]
    draw_sheet(np.stack(small), path, columns=10)
    body = path.read_bytes()
    path.unlink()
    return body
