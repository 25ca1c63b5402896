"""Bytes that outlive the bus: crops, evidence, dead letters' frames, data sets."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Protocol

from shared.errors import Invalid, Missing, Unavailable

_KEY = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")


class BlobStore(Protocol):
    """Bytes by key. Keys are relative paths of letters, digits, `.`, `_`, `-` and `/`."""

    async def put(self, key: str, body: bytes) -> None:
        """Durable when it returns. Raises Unavailable where the store is full or away."""
        ...

    async def get(self, key: str) -> bytes:
        """Raises Missing where nothing is stored under the key."""
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
            await asyncio.to_thread(_write, path, body)
        except OSError as error:
            raise Unavailable(f"cannot store {key}: {error.strerror or error}") from error

    async def get(self, key: str) -> bytes:
        try:
            return await asyncio.to_thread(self._path(key).read_bytes)
        except (FileNotFoundError, IsADirectoryError) as error:
            raise Missing(f"nothing is stored under {key}", code="blob_not_found") from error

    async def delete(self, key: str) -> None:
        path = self._path(key)
        await asyncio.to_thread(_delete, path)

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key) or ".." in key.split("/"):
            raise Invalid(f"{key!r} is no blob key")
        return self._root / key


def _write(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
