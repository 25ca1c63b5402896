"""The synthetic service in this process, without its worker; and archives to send it."""

from __future__ import annotations

import io
import zipfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import httpx
import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image

from services.synthetic.app import KINDS, MIGRATIONS, ROUTERS
from services.synthetic.settings import SyntheticSettings
from services.synthetic.tables import JobRow
from shared.auth import KeyDirectory, Scope, make_key
from shared.database import Database, migrate_once
from shared.jobs import JobContext, JobQueue
from shared.made_data import DataKind, MadeAbout, MadeFolder
from shared.model_store import ModelCard, ModelStore, TensorSpec, sha256_of
from shared.service import create_service

SIDE = 8
"""Of the pictures that tiny models make."""


@dataclass
class Studio:
    api: httpx.AsyncClient
    jobs: JobQueue
    keys: KeyDirectory
    settings: SyntheticSettings

    @property
    def datasets(self) -> Path:
        return self.settings.datasets_folder

    async def key(self, *scopes: str) -> dict[str, str]:
        """Headers with a fresh key."""
        key = make_key()
        entry = {"key_id": "k", "name": "k", "expires_us": None, "cameras": None}
        await self.keys.put(key.digest, entry | {"scopes": list(scopes)})
        return {"X-API-Key": key.secret}

    async def send(self, archive: bytes, name: str = "letters", **query) -> httpx.Response:
        headers = {"Idempotency-Key": query.pop("key")} if "key" in query else {}
        return await self.api.post(
            "/v1/datasets", params={"name": name} | query, content=archive, headers=headers
        )


@asynccontextmanager
async def running_studio(bus, redis_server, folder, *, why_not_here="", **changes):
    settings = SyntheticSettings(
        bus_url=redis_server.url,
        citybrain_home=folder,
        models_folder=folder / "shipped",
        database_url="",
        **changes,
    )
    await migrate_once(settings.database_of("synthetic"), MIGRATIONS)
    database = Database(settings.database_of("synthetic"))
    keys = KeyDirectory(bus.redis)
    jobs = JobQueue("synthetic", database, JobRow, bus, KINDS)

    @asynccontextmanager
    async def lifespan(app, health):
        app.state.keys, app.state.jobs = keys, jobs
        app.state.settings, app.state.why_not_here = settings, why_not_here
        yield {}

    app = create_service(
        "synthetic",
        settings,
        routers=ROUTERS,
        lifespan=lifespan,
        max_body_bytes=settings.dataset_max_bytes,
    )
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://studio") as api:
            studio = Studio(api, jobs, keys, settings)
            api.headers.update(await studio.key(Scope.JOBS_READ, Scope.JOBS_WRITE))
            yield studio
    await database.close()


def picture(seed: int = 0, width: int = 8, height: int = 8) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    packed = io.BytesIO()
    Image.fromarray(pixels).save(packed, "PNG")
    return packed.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    """The same bytes at any time."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, body in files.items():
            archive.writestr(zipfile.ZipInfo(name), body, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def letters(count: int = 8, classes: str = "ab", **size) -> bytes:
    """A zip of a folder a class."""
    names = [f"{classes[n % len(classes)]}/{n}.png" for n in range(count)]
    return zipped({name: picture(n, **size) for n, name in enumerate(names)})


def arrays(**named) -> bytes:
    packed = io.BytesIO()
    np.savez_compressed(packed, **named)
    return packed.getvalue()


def write_npz(path: Path, **changes) -> Path:
    arrays = {
        "images": np.arange(6 * 8 * 8, dtype=np.uint8).reshape(6, 8, 8),
        "labels": np.array([0, 1, 0, 1, 0, 1]),
        "classes": np.array(["a", "b"]),
    }
    np.savez(path, **{name: value for name, value in (arrays | changes).items() if len(value)})
    return path


def write_data(shelf, dataset_id: str, names: list[str], classes=(), *, kind, **size) -> None:
    folder = MadeFolder(shelf.folder / dataset_id, synthetic=False)
    for n, name in enumerate(names):
        folder.add(f"images/{name}", picture(n, **size))
    folder.close(
        MadeAbout(
            name="letters",
            kind=DataKind(kind),
            synthetic=False,
            counts={"pictures": len(names)},
            licence="CC0",
            classes=classes,
        )
    )


def store_model(home, name: str, inputs: dict[str, list], nodes: list, **settings) -> None:
    """A network of a node or two: what it makes can be told beforehand."""
    made = helper.make_tensor_value_info("made", TensorProto.FLOAT, ["B", 3, SIDE, SIDE])
    given = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()]
    shape = helper.make_tensor("shape", TensorProto.INT64, [4], [-1, 3, SIDE, SIDE])
    graph = helper.make_graph(nodes, name, given, [made], [shape])
    file = home / f"{name}.onnx"
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), file)
    card = ModelCard(
        name=name,
        version="1",
        service="synthetic",
        summary="for tests",
        paper="none",
        file=file.name,
        sha256=sha256_of(file),
        input=TensorSpec(name="x", shape=(-1, 3, SIDE, SIDE), layout="BCHW", colour="rgb"),
        outputs=("made",),
        parameters=0,
        training_data="letters",
        training_command="none",
        training_steps=1,
        training_minutes=0,
        seed=0,
        trained_on=date(2026, 1, 1),
        metrics={},
        metrics_data="none",
        licence="CC0",
        intended_use="tests",
        limits="tests",
        settings={
            "system": name,
            "inputs": list(inputs),
            "width": SIDE,
            "height": SIDE,
            **settings,
        },
    )
    ModelStore(home / "models").save(card, file)


class Watched(JobContext):
    """Remembers its notes, and stops when it is told one that begins so."""

    def __init__(self, folder: Path, job_id: str, stop_at: str = "never") -> None:
        super().__init__(job_id, folder)
        folder.mkdir(exist_ok=True)
        self.notes: list[str] = []
        self._stop_at = stop_at

    def report(self, done, total, note=""):
        super().report(done, total, note)
        self.notes.append(note)
        if note.startswith(self._stop_at):
            self.stop.set()
