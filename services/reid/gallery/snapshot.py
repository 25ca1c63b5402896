"""An index on disk: sections, each checksummed, and the last change of the tables that it holds."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from services.reid.gallery.codes import Coder
from services.reid.gallery.columns import NUMBERS, Columns, Names
from services.reid.gallery.flat import vector_index, vectors_in
from services.reid.gallery.gallery import DIMENSIONS
from services.reid.gallery.index import GalleryIndex
from shared.errors import Corrupt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from io import BufferedReader

    from faiss import IndexScalarQuantizer
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

MAGIC = b"CBGALLERY2\n"
SECTION = 64 * 1024 * 1024
"""Bytes under one checksum: sections are read and checked by two threads."""

THREADS = 2


@dataclass(frozen=True, eq=False)
class Picture:
    """All of an index at one moment, in memory of its own, so that it can change meanwhile."""

    arrays: dict[str, Bytes]
    persons: list[str]
    cameras: list[str]
    count: int

    @classmethod
    def of(cls, index: GalleryIndex) -> Picture:
        arrays: dict[str, NDArray[Any]] = {
            name: index.columns.column(name).copy() for name in NUMBERS
        }
        arrays["vectors"] = index.vectors.copy()
        if index.coder is not None:
            arrays["mean"] = index.coder.mean
            if index.coder.projection is not None:
                arrays["projection"] = index.coder.projection
        if index.codes is not None:
            arrays["codes"] = index.codes.copy()
        flat = {
            name: np.ascontiguousarray(a).reshape(-1).view(np.uint8) for name, a in arrays.items()
        }
        columns = index.columns
        return cls(flat, columns.persons.all.copy(), columns.cameras.all.copy(), len(index))


def write_snapshot(path: Path, picture: Picture, *, revision: int, model_digest: str) -> None:
    """Readers see the old file or the new one, never a part.

    Raises OSError where the disk is full; the old file is then untouched, and nothing is left over.
    """
    names = "\n".join([*picture.persons, *picture.cameras]).encode()
    arrays = {**picture.arrays, "names": np.frombuffer(names, np.uint8)}
    parts = [part for array in arrays.values() for part in _parts(array)]
    with ThreadPoolExecutor(THREADS) as threads:
        checksums = list(threads.map(_checksum, parts))
    head = {
        "revision": revision,
        "model_digest": model_digest,
        "count": picture.count,
        "persons": len(picture.persons),
        "sizes": {name: len(array) for name, array in arrays.items()},
        "checksums": checksums,
    }
    line = json.dumps(head).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(MAGIC + _checksum(line).encode() + b"\n" + line + b"\n")
            for part in parts:
                file.write(part.data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_snapshot(path: Path, model_digest: str) -> tuple[GalleryIndex, int]:
    """The index, and the change of the tables up to which it stands.

    Raises FileNotFoundError, or Corrupt for a file that is torn, changed or of another model.
    """
    with path.open("rb") as file:
        head = _head(file, path.name)
        if head["model_digest"] != model_digest:
            raise Corrupt(f"{path.name} is of another model", code="snapshot_foreign")
        vectors = vector_index(head["count"])
        into = {
            name: np.empty(size, np.uint8)
            for name, size in head["sizes"].items()
            if name != "vectors"
        }
        into["vectors"] = vectors_in(vectors).reshape(-1).view(np.uint8)
        _read(file, [into[name] for name in head["sizes"]], head["checksums"], path.name)
    try:
        return _index_of(head, into, vectors), int(head["revision"])
    except ValueError as error:
        # Its bytes are those that were written: they were wrong when they were.
        raise Corrupt(f"{path.name}: {error}", code="snapshot_corrupt") from error


def _index_of(
    head: dict[str, Any], into: dict[str, Bytes], vectors: IndexScalarQuantizer
) -> GalleryIndex:
    """into: the sections by their names. Raises ValueError for one of another size."""
    names = bytes(into["names"]).decode().split("\n")
    columns = Columns(
        {name: into[name].view(np.int64) for name in NUMBERS},
        Names(names[: head["persons"]]),
        Names(name for name in names[head["persons"] :] if name),
    )
    coder = None
    if "mean" in into:
        projection = into.get("projection")
        coder = Coder(
            into["mean"].view(np.float32),
            None if projection is None else projection.view(np.float32).reshape(DIMENSIONS, -1),
        )
    # Of nobody's codes nothing tells how wide they were.
    coded = "codes" in into and head["count"] > 0
    codes = into["codes"].reshape(head["count"], -1) if coded else None
    return GalleryIndex.of(columns, vectors, coder, codes)


def _head(file: BufferedReader, name: str) -> dict[str, Any]:
    """Everything that later reading relies on is under a checksum too."""
    if file.read(len(MAGIC)) != MAGIC:
        raise Corrupt(f"{name} is no gallery snapshot", code="snapshot_corrupt")
    checksum, line = file.readline().strip(), file.readline().rstrip(b"\n")
    if _checksum(line).encode() != checksum:
        raise Corrupt(f"{name}: its head is damaged", code="snapshot_corrupt")
    head: dict[str, Any] = json.loads(line)
    return head


def _read(file: BufferedReader, arrays: Sequence[Bytes], checksums: list[str], name: str) -> None:
    """Fills the arrays, while another thread checks what was read before."""
    with ThreadPoolExecutor(THREADS) as threads:
        found = []
        for part in (part for array in arrays for part in _parts(array)):
            if file.readinto(part.data) != len(part):
                raise Corrupt(f"{name} is torn", code="snapshot_corrupt")
            found.append(threads.submit(_checksum, part))
        if [future.result() for future in found] != checksums:
            raise Corrupt(f"{name}: its checksum is wrong", code="snapshot_corrupt")


def _parts(array: Bytes) -> list[Bytes]:
    return [array[start : start + SECTION] for start in range(0, len(array), SECTION)]


def _checksum(part: Any) -> str:
    return hashlib.sha256(part).hexdigest()
