"""A body that streams in -> a file on the disk -> a data set on the shelf, once a key."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

from ulid import ULID

from services.synthetic.uploads.key_note import keyed
from services.synthetic.uploads.unpacking import Upload, unpack
from shared.data_folder import raise_if_full

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from services.synthetic.shelf import Shelf
    from services.synthetic.uploads.archive import UploadLimits
    from shared.made_data import MadeData


async def receive(
    body: AsyncIterator[bytes],
    shelf: Shelf,
    upload: Upload,
    limits: UploadLimits,
    key: str | None,
) -> MadeData:
    """key: whoever sends the same body under it again gets the same data set.

    Raises Conflict (`conflict`) for a key that was used for another, and (`in_progress`) for one
    whose data set is being made; Unavailable (`disk_full`), and what `unpack` raises. Nothing stays
    on the disk then, but for the empty note of a key.
    """
    dataset_id = str(ULID())
    archive = shelf.folder / f".upload-{dataset_id}"
    try:
        digest = await _spool(body, archive)
        return await asyncio.to_thread(
            _shelve_once, archive, digest, dataset_id, shelf, upload, limits, key
        )
    except OSError as error:
        raise_if_full(error, shelf.folder)
        raise
    finally:
        archive.unlink(missing_ok=True)


async def _spool(body: AsyncIterator[bytes], archive: Path) -> str:
    """Bounded by the service's bound on bodies. Returns the SHA-256."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with archive.open("wb") as file:
        async for piece in body:
            digest.update(piece)
            await asyncio.to_thread(file.write, piece)
    return digest.hexdigest()


def _shelve_once(
    archive: Path,
    digest: str,
    dataset_id: str,
    shelf: Shelf,
    upload: Upload,
    limits: UploadLimits,
    key: str | None,
) -> MadeData:
    if key is None:
        return _shelve(archive, dataset_id, shelf, upload, limits)
    told = {"body": digest, "name": upload.name, "kind": upload.kind, "licence": upload.licence}
    with keyed(shelf.folder / ".keys", key) as note:
        known_id = note.id_of(told)
        if known_id is not None and shelf.has(known_id):
            return shelf.get(known_id)
        # Written first: whoever dies from here on is followed by one who makes the same data set.
        note.write(known_id or dataset_id, told)
        try:
            return _shelve(archive, known_id or dataset_id, shelf, upload, limits)
        except BaseException:
            note.clear()
            raise


def _shelve(
    archive: Path, dataset_id: str, shelf: Shelf, upload: Upload, limits: UploadLimits
) -> MadeData:
    try:
        unpack(archive, shelf.draft(dataset_id), upload, limits)
        return shelf.put(dataset_id)
    finally:
        shelf.drop_draft(dataset_id)
