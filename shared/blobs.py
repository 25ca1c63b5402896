"""Bytes that outlive the bus: crops, evidence, dead letters' frames, data sets."""

from __future__ import annotations

import asyncio
import re
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from shared.durable_file import write_durably
from shared.errors import Invalid, Missing, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

_NAME = r"(?!\.\.?(?:/|$))[A-Za-z0-9._-]{1,200}"
_KEY = re.compile(f"{_NAME}(?:/{_NAME})*")

NOTHING_THERE = (FileNotFoundError, IsADirectoryError, NotADirectoryError)


class BlobStore(Protocol):
    """Bytes by key. Keys are relative paths of letters, digits, `.`, `_`, `-` and `/`.

    All methods raise Invalid for anything else, and Unavailable where the store is full or away.
    """

    async def put(self, key: str, body: bytes) -> None:
        """Durable when it returns. What was stored under the key before is replaced."""
        ...

    async def get(self, key: str) -> bytes:
        """Raises Missing where nothing is stored under the key."""
        ...

    async def below(self, key: str) -> list[str]:
        """The keys of all blobs below the key, in their order; none where there is nothing."""
        ...

    async def delete(self, key: str) -> None:
        """Deletes the blob, or all blobs below the key; nothing happens where there is none."""
        ...


class FolderBlobs:
    """A BlobStore in a folder. Writes are atomic: a reader sees all of a blob or none of it."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def put(self, key: str, body: bytes) -> None:
        path = self._path(key)
        try:
            await asyncio.to_thread(write_durably, path, body)
        except OSError as error:
            raise Unavailable(f"cannot store {key}: {error.strerror or error}") from error

    async def get(self, key: str) -> bytes:
        path = self._path(key)
        try:
            return await asyncio.to_thread(path.read_bytes)
        except NOTHING_THERE as error:
            raise Missing(f"nothing is stored under {key}", code="blob_not_found") from error
        except OSError as error:
            raise Unavailable(f"cannot read {key}: {error.strerror or error}") from error

    async def below(self, key: str) -> list[str]:
        path = self._path(key)
        try:
            found = await asyncio.to_thread(_files_in, path)
        except OSError as error:
            raise Unavailable(f"cannot list {key}: {error.strerror or error}") from error
        return [file.relative_to(self._root).as_posix() for file in found]

    async def delete(self, key: str) -> None:
        path = self._path(key)
        try:
            await asyncio.to_thread(_delete, path)
        except NOTHING_THERE:
            return
        except OSError as error:
            # What was to be forgotten must not stay unnoticed.
            raise Unavailable(f"cannot delete {key}: {error.strerror or error}") from error

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise Invalid(f"{key[:80]!r} is no blob key")
        return self._root / key


def _files_in(folder: Path) -> list[Path]:
    """What is being written has a name that begins with a dot."""
    return sorted(
        file for file in folder.rglob("*") if file.is_file() and not file.name.startswith(".")
    )


def _delete(path: Path) -> None:
    if not path.is_dir():
        path.unlink()
    while path.exists():
        with suppress(FileNotFoundError):  # somebody else deletes there too
            shutil.rmtree(path)
