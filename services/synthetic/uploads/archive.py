"""A stranger's archive: nothing is read beyond the bounds, and no header's promise is believed."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from tokenize import TokenError
from typing import TYPE_CHECKING, Any

import numpy as np

from shared.errors import Malformed, TooLarge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

BESIDE = 3
"""Files of a data set beside its pictures: manifest, listing and sheet."""

BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    UnicodeDecodeError,
    NotImplementedError,
    RuntimeError,
)
"""What zipfile raises: torn, cut off, misnamed, packed in a strange way, encrypted."""

NO_ARRAY = (ValueError, AttributeError, TokenError)
"""What numpy raises: of a header that is none, of a version or in a text that it cannot read."""


@dataclass(frozen=True)
class UploadLimits:
    """bytes: of all that is unpacked. pictures: of a data set."""

    bytes: int
    pictures: int


class Entries:
    """The files of an archive, but for what operating systems add to it."""

    def __init__(self, archive: zipfile.ZipFile, limits: UploadLimits) -> None:
        self._archive = archive
        self._left = limits.bytes
        self.limits = limits
        self.names = [
            one.filename
            for one in archive.infolist()
            if not one.is_dir() and not _is_hidden(one.filename)
        ]
        if len(self.names) > limits.pictures + BESIDE:
            raise TooLarge(
                f"the archive has {len(self.names)} files; {limits.pictures} pictures are the most",
                code="too_many_pictures",
            )

    def read(self, name: str) -> bytes:
        """Raises TooLarge (`unpacked_too_large`)."""
        with self._archive.open(name) as file:
            body = file.read(self._left + 1)
        self._left -= len(body)
        if self._left < 0:
            raise self._too_large()
        return body

    def array(self, name: str) -> NDArray[Any]:
        """Of an .npz. Raises TooLarge, and Malformed (`not_pictures`) for what is none."""
        with self._archive.open(name) as file:
            try:
                version = np.lib.format.read_magic(file)
                header = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
                shape, _, kind = header(file)
            except NO_ARRAY as error:
                raise Malformed(f"{name} is no array: {error}", code="not_pictures") from error
            self._left -= prod(shape) * kind.itemsize
            if self._left < 0:
                raise self._too_large()
        try:
            with self._archive.open(name) as file:
                found: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
        except NO_ARRAY as error:
            raise Malformed(f"{name} is no array: {error}", code="not_pictures") from error
        return found

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"the archive unpacks to over {self.limits.bytes} bytes, which is the most",
            code="unpacked_too_large",
        )


def _is_hidden(name: str) -> bool:
    """__MACOSX/, .DS_Store and their like."""
    return any(part.startswith(".") and part != ".." for part in name.split("/")) or (
        name.startswith("__MACOSX/")
    )


@contextmanager
def sound() -> Iterator[None]:
    """Raises Malformed (`archive_broken`)."""
    try:
        yield
    except BROKEN as error:
        raise _broken(error) from error
    except OSError as error:
        if error.errno is not None:  # of the disk
            raise
        raise _broken(error) from error  # of bzip2


def _broken(error: Exception) -> Malformed:
    return Malformed(f"the archive is broken: {error}", code="archive_broken")
