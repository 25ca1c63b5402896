"""The data sets of a service: a folder each, named by its id. What is on the disk is the truth."""

from __future__ import annotations

import re
import shutil
import zipfile
from typing import TYPE_CHECKING

import structlog

from shared.data_folder import LISTING, MANIFEST, raise_if_full
from shared.errors import Conflict, Missing
from shared.made_data import MadeData

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

log = structlog.get_logger(__name__)

ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")
"""A ULID: of two of them the greater one is the newer."""

LEFT = (".upload-", ".new-", ".gone-")
"""What begins so is on its way in, or out."""

PIECE = 256 * 1024
"""Bytes of a file that are read at a time."""


class Shelf:
    """Data sets come as whole folders and go as whole folders, by one rename each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def ids(self) -> list[str]:
        """The newest first."""
        if not self.folder.is_dir():
            return []
        found = [path.name for path in self.folder.iterdir() if ID.fullmatch(path.name)]
        return sorted(found, reverse=True)

    def get(self, dataset_id: str) -> MadeData:
        """Not verified: whoever learns from it does that. Raises Missing (`unknown_dataset`)."""
        self._find(dataset_id)
        return MadeData.read(self.folder / dataset_id, verified=False)

    def has(self, dataset_id: str) -> bool:
        return (self.folder / dataset_id).is_dir()

    def _find(self, dataset_id: str) -> None:
        if not ID.fullmatch(dataset_id) or not self.has(dataset_id):
            raise Missing(f"no data set {dataset_id!r}", code="unknown_dataset")

    def draft(self, dataset_id: str) -> Path:
        """An absent folder to write the data set into; what a former process has left is gone.

        Raises Conflict (`dataset_exists`).
        """
        if self.has(dataset_id):
            raise Conflict(f"there is a data set {dataset_id!r} already", code="dataset_exists")
        path = self.folder / f".new-{dataset_id}"
        shutil.rmtree(path, ignore_errors=True)
        return path

    def put(self, dataset_id: str) -> MadeData:
        """Stands a draft that is whole beside the others. Raises Unavailable (`disk_full`)."""
        path = self.folder / dataset_id
        try:
            (self.folder / f".new-{dataset_id}").rename(path)
        except OSError as error:
            raise_if_full(error, self.folder)
            raise
        return MadeData.read(path, verified=False)

    def drop_draft(self, dataset_id: str) -> None:
        shutil.rmtree(self.folder / f".new-{dataset_id}", ignore_errors=True)

    def remove(self, dataset_id: str) -> None:
        """Jobs that have read it go on; one that is to read it fails. A broken one goes, too.
        Raises Missing."""
        self._find(dataset_id)
        gone = self.folder / f".gone-{dataset_id}"
        shutil.rmtree(gone, ignore_errors=True)  # of a process that died while it removed
        (self.folder / dataset_id).rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def sweep(self, before_s: float) -> None:
        """Removes what processes that died have left: uploads, drafts, and sets half removed in
        which nothing has changed since then (seconds since 1970). Notes of keys stay."""
        found = self.folder.iterdir() if self.folder.is_dir() else ()
        for path in found:
            if path.name.startswith(LEFT) and _changed_s(path) < before_s:
                log.info("left_behind_swept", name=path.name)
                if path.is_file():
                    path.unlink(missing_ok=True)
                else:
                    shutil.rmtree(path, ignore_errors=True)


def _changed_s(path: Path) -> float:
    """Of a folder, when the newest thing in it was: pictures come into the folders below."""
    return max(one.stat().st_mtime for one in (path, *path.rglob("*")))


def archived(data: MadeData) -> Iterator[bytes]:
    """The data set as a zip, piece by piece: it is never whole in memory nor on the disk again."""
    out = _Outbox()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name in (MANIFEST, LISTING, *data.digests):
            with (data.folder / name).open("rb") as file, archive.open(name, "w") as entry:
                while piece := file.read(PIECE):
                    entry.write(piece)
                    yield out.taken()
    yield out.taken()


class _Outbox:
    """What a zip archive that cannot seek is written to."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes, /) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Nothing waits here for a disk."""

    def close(self) -> None:
        """Nor is there one to close."""

    def taken(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)
