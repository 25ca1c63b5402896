"""A data set for training, on disk: pictures, a listing of their checksums, a manifest.

    FOLDER/manifest.json      what it is, whence it comes, what it is worth; written last
    FOLDER/SHA256SUMS         every other file, as `sha256sum --check` reads it
    FOLDER/images/...         the pictures, in the layout of their kind
    FOLDER/sheet.png          some of them to look at, where somebody drew them

characters, plates and pictures of classes: images/CLASS/N.png, as torchvision's ImageFolder reads
them; pictures without classes: images/N.png; persons: images/PID_cCsS_FRAME_N.png, as readers of
Market-1501 do. A folder without a manifest is not whole, and nothing reads it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.data_folder import MANIFEST, DataFolder, read_listing, verify
from shared.durable_file import write_durably
from shared.errors import Corrupt, Missing
from shared.mark import is_marked, marked

IMAGES = "images"
SHEET = "sheet.png"
IMAGE_ENDINGS = frozenset({".png", ".jpg", ".jpeg"})

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class DataKind(StrEnum):
    PERSONS = "persons"
    CHARACTERS = "characters"
    PLATES = "plates"
    PICTURES = "pictures"


class LabelPolicy(StrEnum):
    """What a trainer is to do with the labels of made pictures.

    none: there are none. hard: as real ones. lsr: epsilon of their weight goes to all classes
    alike (Szegedy et al., CVPR 2016). lsro: all classes alike (Zheng et al., ICCV 2017).
    """

    NONE = "none"
    HARD = "hard"
    LSR = "lsr"
    LSRO = "lsro"


class Outcome(StrEnum):
    UNMEASURED = "unmeasured"
    GAIN = "gain"
    NO_GAIN = "no_gain"


class Verdict(BaseModel):
    """Whether training with the data set is better than without it. measured_on: the real test
    data. figures: by name, such as `map_with`, `map_without` and the bounds of their difference."""

    model_config = ConfigDict(extra="forbid")

    outcome: Outcome = Outcome.UNMEASURED
    measured_on: str = ""
    figures: dict[str, float] = Field(default_factory=dict)


class MadeAbout(BaseModel):
    """What is known of a data set before it is written.

    synthetic: false for pictures that somebody registered. system: in the registry, or `city`.
    model, model_sha256: of the stored model that made it; null where none is stored. lineage: its
    parents: names and digests of data sets and models, draws, whatever tells how to make it again.
    counts: by what is counted, such as `pictures`. width, height: of every picture; null where
    they differ. channels: 1 or 3. metrics: by name.
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    name: Annotated[str, Field(min_length=1, max_length=128)]
    kind: DataKind
    synthetic: bool = True
    system: str | None = None
    model: str | None = None
    model_sha256: Digest | None = None
    seed: int | None = None
    label_policy: LabelPolicy = LabelPolicy.NONE
    epsilon: Annotated[float, Field(ge=0, le=1)] | None = None
    lineage: dict[str, Any] = Field(default_factory=dict)
    counts: dict[str, int]
    licence: str
    classes: tuple[str, ...] = ()
    width: Annotated[int, Field(gt=0)] | None = None
    height: Annotated[int, Field(gt=0)] | None = None
    channels: Literal[1, 3] = 3
    metrics: dict[str, float] = Field(default_factory=dict)
    verdict: Verdict = Verdict()

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if self.synthetic and self.system is None:
            raise ValueError("a synthetic data set names the system that made it")
        if (self.label_policy is LabelPolicy.LSR) != (self.epsilon is not None):
            raise ValueError("label policy lsr, and no other, has an epsilon")
        return self


class MadeManifest(MadeAbout):
    """manifest.json. files: that are listed. sha256: of the listing, which holds theirs."""

    format: Literal[1] = 1
    created_at: datetime
    files: int
    sha256: Digest


@dataclass
class MadeFolder:
    """A data set that is being written into an empty folder.

    Pictures of a synthetic one are marked as they come. Raises Conflict (`folder_not_empty`).
    """

    path: Path
    synthetic: bool = True
    _folder: DataFolder = field(init=False)

    def __post_init__(self) -> None:
        self._folder = DataFolder(self.path)

    def add(self, name: str, body: bytes) -> None:
        """name: relative to the folder, such as images/7/000123.png.

        Raises Malformed (`bad_file_name`), Conflict (`file_twice`), UnsupportedMedia
        (`not_markable`), Unavailable (`disk_full`).
        """
        is_image = PurePosixPath(name).suffix.lower() in IMAGE_ENDINGS
        self._folder.add(name, marked(body) if self.synthetic and is_image else body)

    def close(self, about: MadeAbout) -> MadeData:
        """Writes listing and manifest. Raises Unavailable (`disk_full`)."""
        if about.synthetic != self.synthetic:
            raise ValueError("the manifest and the marks of the pictures contradict each other")
        listed = self._folder.list()
        manifest = MadeManifest(
            **about.model_dump(),
            created_at=datetime.now(UTC),
            files=listed.files,
            sha256=listed.sha256,
        )
        self._folder.close(_text(manifest))
        return MadeData(self.path, manifest)


@dataclass(frozen=True)
class MadeData:
    """A whole data set on disk."""

    folder: Path
    manifest: MadeManifest

    @classmethod
    def read(cls, folder: Path, *, verified: bool = True) -> MadeData:
        """verified: every file is read and compared with its checksum.

        Raises Missing (`no_manifest`, `file_missing`), Corrupt (`manifest_broken`,
        `listing_checksum`, `file_checksum`, `file_unlisted`, `not_marked`).
        """
        path = folder / MANIFEST
        if not path.is_file():
            raise Missing(f"{folder} is no data set: it has no {MANIFEST}", code="no_manifest")
        try:
            manifest = MadeManifest.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise Corrupt(
                f"{path} is no manifest of a data set: {error}", code="manifest_broken"
            ) from error
        data = cls(folder, manifest)
        if verified:
            verify(folder, data.digests)
            data._check_marks()
        return data

    @cached_property
    def digests(self) -> dict[str, str]:
        """Names of the listed files to their SHA-256. Raises Corrupt (`listing_checksum`)."""
        return read_listing(self.folder, self.manifest.sha256)

    @property
    def images(self) -> list[Path]:
        """The pictures, in the order of their names."""
        names = sorted(name for name in self.digests if name.startswith(f"{IMAGES}/"))
        return [self.folder / name for name in names if _is_image(name)]

    def judged(
        self, *, metrics: dict[str, float] | None = None, verdict: Verdict | None = None
    ) -> MadeData:
        """With a new verdict, and metrics added to those that it has: in the file, too."""
        manifest = self.manifest.model_copy(
            update={
                "metrics": self.manifest.metrics | (metrics or {}),
                "verdict": verdict or self.manifest.verdict,
            }
        )
        write_durably(self.folder / MANIFEST, _text(manifest).encode())
        return MadeData(self.folder, manifest)

    def _check_marks(self) -> None:
        if not self.manifest.synthetic:
            return
        for image in self.images:
            if not is_marked(image.read_bytes()):
                raise Corrupt(
                    f"{image} is not marked as made, its data set is; write it by MadeFolder",
                    code="not_marked",
                )


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_ENDINGS


def _text(manifest: MadeManifest) -> str:
    return manifest.model_dump_json(indent=2) + "\n"
