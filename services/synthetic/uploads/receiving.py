"""A body that streams in -> a file on the disk -> a data set on the shelf, once a key."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import TYPE_CHECKING

from ulid import ULID

from services.synthetic.uploads.unpacking import Upload, unpack
from shared.data_folder import raise_if_full
from shared.durable_file import write_durably
from shared.errors import Conflict

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

    Raises Conflict (`conflict`) for a key that was used for another, Unavailable (`disk_full`), and
    what `unpack` raises; nothing stays on the disk then.
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
    if twin := _twin(shelf, key, told):
        return twin
    data = _shelve(archive, dataset_id, shelf, upload, limits)
    write_durably(_note(shelf, key), json.dumps({"id": dataset_id, "order": told}).encode())
    return data


def _shelve(
    archive: Path, dataset_id: str, shelf: Shelf, upload: Upload, limits: UploadLimits
) -> MadeData:
    try:
        unpack(archive, shelf.draft(dataset_id), upload, limits)
        return shelf.put(dataset_id)
    finally:
        shelf.drop_draft(dataset_id)


def _twin(shelf: Shelf, key: str, told: dict[str, str]) -> MadeData | None:
    """None where the key is new, or its data set was deleted since."""
    note = _note(shelf, key)
    if not note.is_file():
        return None
    known = json.loads(note.read_bytes())
    if known["order"] != told:
        raise Conflict("this Idempotency-Key was used for another data set")
    return shelf.get(known["id"]) if shelf.has(known["id"]) else None


def _note(shelf: Shelf, key: str) -> Path:
    return shelf.folder / ".keys" / hashlib.sha256(key.encode()).hexdigest()
