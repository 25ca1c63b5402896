"""Files of a data set -> a folder, a listing of their checksums, and last of all a manifest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from shared.errors import Conflict

if TYPE_CHECKING:
    from pathlib import Path

    from services.synthetic.city.layouts.order import DatasetSettings
    from services.synthetic.city.plan import CityPlan

LISTING = "SHA256SUMS"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """What a data set holds. sha256: of its listing, which holds that of every file."""

    layout: str
    plan: CityPlan
    settings: DatasetSettings
    counts: dict[str, int]
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
        """name: relative, with forward slashes."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(body)
        self._digests[name] = hashlib.sha256(body).hexdigest()

    def close(
        self, layout: str, plan: CityPlan, settings: DatasetSettings, counts: dict[str, int]
    ) -> Manifest:
        """Writes the listing (as `sha256sum --check` reads it), then the manifest."""
        lines = [f"{digest}  {name}\n" for name, digest in sorted(self._digests.items())]
        listing = "".join(lines).encode()
        (self.path / LISTING).write_bytes(listing)
        digest = hashlib.sha256(listing).hexdigest()
        manifest = Manifest(layout, plan, settings, counts, len(self._digests), digest)
        (self.path / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2) + "\n")
        return manifest
