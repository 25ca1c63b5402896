"""The model registry: a folder of ONNX files with cards, and the map that says which one is active.

A folder `models/NAME/` holds `card.json` and the ONNX file that it names. Nothing serves a file
whose SHA-256 differs from its card's.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from redis.exceptions import WatchError

from shared.durable_file import write_durably
from shared.errors import Conflict, Corrupt, Missing
from shared.messages import ModelsActivated, Prior
from shared.topics import MODELS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from redis.asyncio import Redis

    from shared.bus import Bus

CLAIM = ".job"
"""Beside a card that is to come: who makes the model."""


class TensorSpec(BaseModel):
    """Input of a model. shape: -1 is the batch. Pixels become `(pixel / 255 - mean) / std`."""

    name: str
    shape: tuple[int, ...]
    layout: str
    colour: Literal["gray", "rgb", "flow"]
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


class AnomalyPrior(BaseModel):
    """What the error of normal footage looks like for this model, on footage it was not trained on.

    score: how a frame's error is made from its error map. patch: side of the map's patches in
    pixels. frame: quantiles of the frame score. patch_q999: the error a normal patch exceeds once
    in a thousand times; the map's regions are what lies above it.
    """

    score: Literal["mean", "max_patch", "largest_region"]
    patch: int
    frame: Prior
    patch_q999: float
    frames: int


class IdentityPrior(BaseModel):
    """What cosine similarity means for this model, measured on identities it was not trained on.

    Belief that two vectors are one person: 1 / (1 + exp(-(slope * similarity + offset))).
    """

    slope: float
    offset: float
    same_person_q05: float
    different_person_q99: float


class ModelCard(BaseModel):
    """All that serving, auditing and citing a model needs. `sha256` is the ONNX file's."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    name: str
    version: str
    service: Literal["anomaly", "reid", "synthetic"]
    summary: str
    paper: str
    file: str
    sha256: str
    input: TensorSpec
    outputs: tuple[str, ...]
    parameters: int
    anomaly: AnomalyPrior | None = None
    identity: IdentityPrior | None = None
    training_data: str
    training_command: str
    training_steps: int
    training_minutes: float
    seed: int
    trained_on: date
    metrics: dict[str, float]
    metrics_data: str
    licence: str
    intended_use: str
    limits: str
    settings: dict[str, Any] = Field(default_factory=dict)


class StoredModel:
    """One model of the store: its card, and its file, proven to be the card's."""

    def __init__(self, card: ModelCard, folder: Path) -> None:
        self.card = card
        self.path = folder / card.file

    @property
    def digest(self) -> str:
        return self.card.sha256

    def verify(self) -> None:
        """Raises Corrupt where the file is absent or is not the card's."""
        if not self.path.is_file():
            raise Corrupt(f"model {self.card.name}: {self.path} is missing", code="model_missing")
        if (found := sha256_of(self.path)) != self.card.sha256:
            raise Corrupt(
                f"model {self.card.name}: {self.path.name} has sha256 {found[:12]}..., its card"
                f" says {self.card.sha256[:12]}...; fetch the file again",
                code="model_checksum",
            )


class ModelStore:
    """The models of a folder, and of others beside it, which are read only."""

    def __init__(self, folder: Path, *others: Path) -> None:
        self.folder = folder
        self._folders = (folder, *others)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._homes))

    @property
    def _homes(self) -> dict[str, Path]:
        """Where each model lies; of two of one name, the first folder's counts."""
        return {
            card.parent.name: card.parent
            for folder in reversed(self._folders)
            for card in folder.glob("*/card.json")
        }

    def load(self, name: str) -> StoredModel:
        """The model of that name, verified.

        Raises Missing for an unknown name, Corrupt for a broken card or file.
        """
        home = self._home(name)
        model = StoredModel(_read_card(home), home)
        model.verify()
        return model

    def card(self, name: str) -> ModelCard:
        """Without a look at the file. Raises Missing for an unknown name, Corrupt for a broken
        card."""
        return _read_card(self._home(name))

    def _home(self, name: str) -> Path:
        homes = self._homes
        if name not in homes:
            known = ", ".join(sorted(homes)) or "none"
            raise Missing(
                f"no model {name!r} in {self.folder}; there are: {known}", code="unknown_model"
            )
        return homes[name]

    def claim(self, name: str, holder: str) -> None:
        """Keeps a name of the first folder for one holder, such as a job, until it is released.
        Whoever holds it already holds it still. A claim alone is no model.

        Raises Conflict (`model_exists`) where there is such a model, or another's claim.
        """
        if self._holder(name) == holder:
            return
        path = self.folder / name / CLAIM
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("x") as file:
                file.write(holder)
        except FileExistsError as error:
            raise self._claimed(name) from error
        # Looked at last: whoever stored it meanwhile has released the name by now.
        if name in self.names:
            self.release(name, holder)
            raise _exists(name)

    def release(self, name: str, holder: str) -> None:
        """Whoever holds the name holds it no more; what another holds is left alone."""
        if self._holder(name) != holder:
            return
        (self.folder / name / CLAIM).unlink(missing_ok=True)
        with suppress(OSError):  # A model, or half of one, lies there.
            (self.folder / name).rmdir()

    def raise_if_taken(self, name: str) -> None:
        """Raises Conflict (`model_exists`) where there is such a model, or somebody's claim."""
        if name in self.names:
            raise _exists(name)
        if self._holder(name) is not None:
            raise self._claimed(name)

    def _claimed(self, name: str) -> Conflict:
        return Conflict(
            f"job {self._holder(name)} makes a model {name!r}: name another", code="model_exists"
        )

    def _holder(self, name: str) -> str | None:
        try:
            return (self.folder / name / CLAIM).read_text()
        except FileNotFoundError:
            return None

    def save(self, card: ModelCard, onnx: Path) -> StoredModel:
        """Puts a trained file and its card into the first folder, the card last."""
        folder = self.folder / card.name
        target = folder / card.file
        if onnx.resolve() != target.resolve():
            write_durably(target, onnx.read_bytes())
        text = card.model_dump_json(indent=2) + "\n"
        write_durably(folder / "card.json", text.encode())
        return self.load(card.name)


def _exists(name: str) -> Conflict:
    return Conflict(f"there is a model {name!r} already: name another", code="model_exists")


def _read_card(home: Path) -> ModelCard:
    path = home / "card.json"
    try:
        return ModelCard.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise Corrupt(f"{path} is no model card: {error}", code="model_card") from error


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class ActivationMap:
    """Which model serves which camera. Kept in Redis; every change is announced on models.v1.

    The field `*` speaks for all cameras that have none of their own. Former values are kept, so
    that one call rolls back.
    """

    EVERY_CAMERA = "*"

    def __init__(self, redis: Redis, service: str) -> None:
        self._redis = redis
        self._service = service
        self._key = f"activations:{service}"

    @classmethod
    def serving(cls, active: Mapping[str, str], camera_id: str, default: str) -> str:
        """The model of a camera. active: as read. default: where none is activated for all."""
        return active.get(camera_id, active.get(cls.EVERY_CAMERA, default))

    async def read(self) -> dict[str, str]:
        """Camera id, or `*`, to model name."""
        raw: Any = await self._redis.hgetall(self._key)
        return {camera.decode(): json.loads(history)[-1] for camera, history in raw.items()}

    async def activate(self, bus: Bus, model: str, camera_id: str = EVERY_CAMERA) -> None:
        await self._change(bus, camera_id, lambda history: [*history, model][-10:])

    async def roll_back(self, bus: Bus, camera_id: str = EVERY_CAMERA) -> None:
        """To the model before. Raises Missing where there was none."""
        await self._change(bus, camera_id, _without_newest)

    async def _change(self, bus: Bus, camera_id: str, change: Any) -> None:
        while not await self._try_change(camera_id, change):
            continue
        await bus.publish(MODELS, ModelsActivated(service=self._service))

    async def _try_change(self, camera_id: str, change: Any) -> bool:
        """False where somebody else has changed the map meanwhile: then nothing was done."""
        async with self._redis.pipeline() as pipe:
            await pipe.watch(self._key)
            raw = await pipe.hget(self._key, camera_id)
            history = change(json.loads(raw) if raw else [])
            pipe.multi()  # type: ignore[no-untyped-call]
            if history:
                pipe.hset(self._key, camera_id, json.dumps(history))
            else:
                pipe.hdel(self._key, camera_id)
            try:
                await pipe.execute()
            except WatchError:
                return False
            return True


def _without_newest(history: list[str]) -> list[str]:
    if not history:
        raise Missing("no model was activated there, so none can be rolled back")
    return history[:-1]
