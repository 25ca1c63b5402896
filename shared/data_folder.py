"""Files of a data set -> a folder, a listing of their checksums, and last of all a manifest."""

from __future__ import annotations

import errno
import hashlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from shared.durable_file import write_durably
from shared.errors import Conflict, Corrupt, Malformed, Missing, Unavailable

LISTING = "SHA256SUMS"
MANIFEST = "manifest.json"

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""No room on the disk, in the quota, or below the bound on a file's size."""


@dataclass(frozen=True)
class Sealed:
    """A listing that was written. sha256: its own; it holds that of every file."""

    files: int
    sha256: str


@dataclass
class DataFolder:
    """An empty folder that is being filled. It is whole once it has a manifest.

    Raises Conflict (`folder_not_empty`) where something is there already.
    """

    path: Path
    _digests: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise Conflict(f"{self.path} is not an empty folder", code="folder_not_empty")
        self.path.mkdir(parents=True, exist_ok=True)

    def add(self, name: str, body: bytes) -> None:
        """name: relative, with forward slashes.

        Raises Malformed (`bad_file_name`), Conflict (`file_twice`), Unavailable (`disk_full`).
        """
        check_name(name)
        if name in self._digests:
            raise Conflict(f"{name} is in the data set already", code="file_twice")
        target = self.path / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(body)
        except OSError as error:
            raise_if_full(error, self.path)
            raise
        self._digests[name] = hashlib.sha256(body).hexdigest()

    def list(self) -> Sealed:
        """Writes the listing, as `sha256sum --check` reads it. Raises Unavailable (`disk_full`)."""
        lines = [f"{digest}  {name}\n" for name, digest in sorted(self._digests.items())]
        listing = "".join(lines).encode()
        self._write(LISTING, listing)
        return Sealed(len(self._digests), hashlib.sha256(listing).hexdigest())

    def close(self, manifest: str) -> None:
        """Writes the manifest: the folder is whole. Raises Unavailable (`disk_full`)."""
        self._write(MANIFEST, manifest.encode())

    def _write(self, name: str, body: bytes) -> None:
        try:
            write_durably(self.path / name, body)
        except OSError as error:
            raise_if_full(error, self.path)
            raise


def raise_if_full(error: OSError, folder: Path) -> None:
    """Raises Unavailable (`disk_full`) where that is what went wrong."""
    if error.errno in FULL:
        raise Unavailable(
            f"the disk of {folder} is full: make room on it, then ask again", code="disk_full"
        ) from error


def check_name(name: str) -> None:
    """Raises Malformed (`bad_file_name`) for what could lead out of the folder, or could not be
    listed: a line of the listing is a file."""
    path = PurePosixPath(name)
    parts = name.split("/")
    if path.is_absolute() or {"", ".", ".."} & set(parts) or not name.isprintable():
        raise Malformed(f"{name!r} is no name of a file below a folder", code="bad_file_name")
    if "\\" in name or name in (LISTING, MANIFEST):
        raise Malformed(f"{name!r} cannot name a file of a data set", code="bad_file_name")


def read_listing(folder: Path, sha256: str) -> dict[str, str]:
    """Names of the files to their digests. sha256: of the listing, as its manifest has it.

    Raises Corrupt (`listing_checksum`).
    """
    path = folder / LISTING
    listing = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(listing).hexdigest() != sha256:
        raise Corrupt(
            f"{path} is not the listing of its manifest; fetch the data set again",
            code="listing_checksum",
        )
    pairs = (line.split("  ", 1) for line in listing.decode().splitlines())
    return {name: digest for digest, name in pairs}


def verify(folder: Path, digests: dict[str, str]) -> None:
    """Reads every file. Raises Missing (`file_missing`), Corrupt (`file_checksum`, and
    `file_unlisted` where loaders would find a file that the listing does not know)."""
    for name, digest in digests.items():
        check_name(name)
        path = folder / name
        if not path.is_file():
            raise Missing(f"{path} is missing; fetch the data set again", code="file_missing")
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != digest:
            raise Corrupt(
                f"{path} has sha256 {found[:12]}..., its listing says {digest[:12]}...;"
                " fetch the data set again",
                code="file_checksum",
            )
    known = {*digests, LISTING, MANIFEST}
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in known:
            raise Corrupt(
                f"{path} is not in the listing; take it out of the data set", code="file_unlisted"
            )
