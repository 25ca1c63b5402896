"""An Idempotency-Key -> a file that says which order came with it, held by one at a time."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from shared.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class KeyNote:
    """Empty for a key whose order has not begun, or was refused."""

    _file: IO[bytes]

    def id_of(self, order: dict[str, str]) -> str | None:
        """Of the data set that the order has got. Raises Conflict where it was another order."""
        self._file.seek(0)
        try:
            known = json.loads(self._file.read())
        except ValueError:  # its writer has died before it began the data set
            return None
        if known["order"] != order:
            raise Conflict("this Idempotency-Key was used for another data set")
        return str(known["id"])

    def write(self, dataset_id: str, order: dict[str, str]) -> None:
        self.clear()
        self._file.write(json.dumps({"id": dataset_id, "order": order}).encode())
        self._file.flush()
        os.fsync(self._file.fileno())

    def clear(self) -> None:
        self._file.seek(0)
        self._file.truncate()


@contextmanager
def keyed(folder: Path, key: str) -> Iterator[KeyNote]:
    """The key's note. Raises Conflict (`in_progress`) while another holds it: the kernel lets go of
    it when a process dies."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / hashlib.sha256(key.encode()).hexdigest()).open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                "the first order with this Idempotency-Key is still at work: ask again later",
                code="in_progress",
            ) from error
        yield KeyNote(file)
