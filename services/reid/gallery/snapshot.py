"""The index on disk, checksummed, with the last revision that it holds."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from services.reid.gallery.index import Entry
from shared.errors import Corrupt

log = structlog.get_logger(__name__)

MAGIC = b"CBGALLERY1\n"
FIELDS = ("ids", "persons", "cameras", "starts", "ends", "crops")


def write_snapshot(path: Path, entries: list[Entry], *, revision: int, model_digest: str) -> None:
    """Writes all entries; readers see the old file or the new one, never a part.

    Raises OSError where the disk is full; the old file is then untouched.
    """
    columns: dict[str, Any] = {
        "ids": np.array([e.id for e in entries], np.int64),
        "persons": np.array([e.person_id for e in entries], "U26"),
        "cameras": np.array([e.camera_id for e in entries], "U64"),
        "starts": np.array([e.start_us for e in entries], np.int64),
        "ends": np.array([e.end_us for e in entries], np.int64),
        "crops": np.array([e.crop for e in entries], "U128"),
        "vectors": np.array([e.vector for e in entries], np.float16),
    }
    packed = BytesIO()
    np.savez(packed, **columns)
    body = packed.getvalue()
    head = {
        "revision": revision,
        "model_digest": model_digest,
        "count": len(entries),
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(MAGIC + json.dumps(head).encode() + b"\n" + body)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def read_snapshot(path: Path, model_digest: str) -> tuple[list[Entry], int]:
    """The entries, and the revision up to which they stand.

    Raises FileNotFoundError, or Corrupt for a file that is torn, changed or of another model.
    """
    raw = path.read_bytes()
    if not raw.startswith(MAGIC):
        raise Corrupt(f"{path.name} is no gallery snapshot", code="snapshot_corrupt")
    line, _, body = raw[len(MAGIC) :].partition(b"\n")
    try:
        head = json.loads(line)
    except ValueError as error:
        raise Corrupt(f"{path.name}: its head is damaged", code="snapshot_corrupt") from error
    if hashlib.sha256(body).hexdigest() != head["sha256"]:
        raise Corrupt(f"{path.name}: its checksum is wrong", code="snapshot_corrupt")
    if head["model_digest"] != model_digest:
        raise Corrupt(f"{path.name} is of another model", code="snapshot_foreign")
    columns = np.load(BytesIO(body), allow_pickle=False)
    vectors = columns["vectors"].astype(np.float32)
    fields = (columns[name].tolist() for name in FIELDS)
    entries = [Entry(*values) for values in zip(*fields, vectors, strict=True)]
    return entries, int(head["revision"])
