"""A gallery on a Qdrant cluster, where one machine is outgrown.

One process brings it up with the tables, the one that leads; all search it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from httpx import HTTPError
from qdrant_client import models
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

from services.reid.gallery.gallery import (
    DIMENSIONS,
    OPEN,
    Answer,
    Hit,
    Mode,
    check_stored,
    checked_query,
)
from shared.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterator

    from qdrant_client import AsyncQdrantClient

    from services.reid.gallery.gallery import Batch, Filter, Vectors

PAGE = 1_000
"""Points in one request."""

MEASURED = 10
"""Neighbours by which recall is measured."""

SEARCHES = {
    Mode.EXACT: models.SearchParams(exact=True),
    Mode.BALANCED: models.SearchParams(
        hnsw_ef=256,
        quantization=models.QuantizationSearchParams(rescore=True, oversampling=4.0),
    ),
    Mode.FAST: models.SearchParams(
        hnsw_ef=64, quantization=models.QuantizationSearchParams(rescore=False)
    ),
}
"""Ours; what they find on this very gallery is measured."""


class QdrantGallery:
    """Gallery. Each point is a tracklet: its vector, person, camera and times; its revision is that
    of the tables at which the gallery was complete when it came, so that the highest is where the
    next leader goes on. A leader that was paused may write again what was forgotten meanwhile: the
    service shows nobody whom the tables do not have."""

    def __init__(
        self, client: AsyncQdrantClient, model_digest: str, *, shards: int = 1, replicas: int = 1
    ) -> None:
        """shards: fixed when the collection is made; two to four times the nodes leave room."""
        self.model_digest = model_digest
        self._client = client
        self._name = f"citybrain-{model_digest[:16]}"
        self._shards, self._replicas = shards, replicas
        self._revision = 0
        self._recall: dict[Mode, float] = {Mode.EXACT: 1.0}

    @property
    def revision(self) -> int:
        return self._revision

    @property
    def source(self) -> str:
        return "server"

    async def open(self, newest: int) -> None:
        with _translated():
            if await self._client.collection_exists(self._name):
                found = await self._newest()
                if found > newest:
                    await self._client.delete_collection(self._name)
                    await self._create()
                else:
                    self._revision = found
            else:
                await self._create()

    async def put(self, batch: Batch, revision: int) -> None:
        if len(batch):
            check_stored(batch.vectors)
            batch = batch.newest()
            with _translated():
                for start in range(0, len(batch), PAGE):
                    rows = range(start, min(start + PAGE, len(batch)))
                    points = _points(batch, rows, self._revision)
                    await self._client.upsert(self._name, points, wait=True)
                # Last of all: a batch that is there in part is not said to be there.
                last, stands = int(batch.ids[-1]), {"revision": revision}
                await self._client.set_payload(self._name, stands, points=[last], wait=True)
        self._revision = revision

    async def forget(self, ids: Collection[int], revision: int) -> None:
        if ids:
            gone = models.PointIdsList(points=list(map(int, ids)))
            with _translated():
                await self._client.delete(self._name, points_selector=gone, wait=True)
        self._revision = revision

    async def search(
        self, vector: Vectors, limit: int, only: Filter = OPEN, mode: Mode = Mode.EXACT
    ) -> Answer:
        query = checked_query(vector)
        with _translated():
            found = await self._client.query_points(
                self._name,
                query=query.tolist(),
                limit=limit,
                query_filter=_conditions(only),
                search_params=SEARCHES[mode],
                with_payload=True,
            )
        return Answer([_hit(point) for point in found.points], mode, self._recall.get(mode))

    async def count(self, only: Filter = OPEN) -> int:
        with _translated():
            found = await self._client.count(self._name, count_filter=_conditions(only), exact=True)
        return found.count

    async def persons(self) -> int:
        with _translated():
            return len({point.payload["person"] async for point in self._points(["person"])})

    async def save(self) -> None:
        """The cluster keeps what it was given."""

    async def tend(self) -> None:
        """The cluster tends itself."""

    async def measure(self, sample: int) -> dict[Mode, float]:
        with _translated():
            found = await self._client.query_points(
                self._name,
                query=models.SampleQuery(sample=models.Sample.RANDOM),
                limit=sample,
                with_vectors=True,
            )
        for mode in (Mode.BALANCED, Mode.FAST):
            shares = [await self._leave_out(point, mode) for point in found.points]
            known = [share for share in shares if share is not None]
            if known:
                self._recall[mode] = sum(known) / len(known)
        return dict(self._recall)

    async def close(self) -> None:
        """The client belongs to whoever made it."""

    async def _leave_out(self, point: Any, mode: Mode) -> float | None:
        vector = np.asarray(point.vector, np.float32)
        true, found = [
            [hit.id for hit in (await self.search(vector, MEASURED + 1, mode=way)).hits]
            for way in (Mode.EXACT, mode)
        ]
        others = [id_ for id_ in true if id_ != point.id][:MEASURED]
        return len(set(others) & set(found)) / len(others) if others else None

    async def _create(self) -> None:
        await self._client.create_collection(
            self._name,
            vectors_config=models.VectorParams(
                size=DIMENSIONS,
                distance=models.Distance.COSINE,
                datatype=models.Datatype.FLOAT16,
            ),
            quantization_config=models.BinaryQuantization(
                binary=models.BinaryQuantizationConfig(always_ram=True)
            ),
            shard_number=self._shards,
            replication_factor=self._replicas,
        )
        for field, kind in (
            ("camera", models.PayloadSchemaType.KEYWORD),
            ("start", models.PayloadSchemaType.INTEGER),
            ("end", models.PayloadSchemaType.INTEGER),
            ("revision", models.PayloadSchemaType.INTEGER),
        ):
            await self._client.create_payload_index(self._name, field, kind)

    async def _newest(self) -> int:
        order = models.OrderBy(key="revision", direction=models.Direction.DESC)
        points, _ = await self._client.scroll(self._name, limit=1, order_by=order)
        return int(points[0].payload["revision"]) if points and points[0].payload else 0

    async def _points(self, fields: list[str]) -> AsyncIterator[Any]:
        offset: Any = None
        while True:
            points, offset = await self._client.scroll(
                self._name, limit=PAGE, offset=offset, with_payload=fields
            )
            for point in points:
                yield point
            if offset is None:
                return


@contextmanager
def _translated() -> Iterator[None]:
    """A cluster that cannot be reached, or fails, is away; what it refuses is our fault."""
    try:
        yield
    except UnexpectedResponse as error:
        if error.status_code is not None and error.status_code < 500:
            raise
        raise Unavailable(f"qdrant: {error}") from error
    except (ApiException, HTTPError, OSError) as error:
        raise Unavailable(f"qdrant: {error}") from error


def _points(batch: Batch, rows: range, revision: int) -> list[models.PointStruct]:
    return [
        models.PointStruct(
            id=int(batch.ids[row]),
            vector=batch.vectors[row].astype(np.float32).tolist(),
            payload={
                "person": batch.persons[row],
                "camera": batch.cameras[row],
                "start": int(batch.starts[row]),
                "end": int(batch.ends[row]),
                "revision": revision,
            },
        )
        for row in rows
    ]


def _conditions(only: Filter) -> models.Filter | None:
    if only.is_open:
        return None
    must: list[Any] = []
    if only.camera_ids is not None:
        cameras = models.MatchAny(any=sorted(only.camera_ids))
        must.append(models.FieldCondition(key="camera", match=cameras))
    if only.start_us is not None:
        must.append(models.FieldCondition(key="end", range=models.Range(gte=only.start_us)))
    if only.end_us is not None:
        must.append(models.FieldCondition(key="start", range=models.Range(lt=only.end_us)))
    return models.Filter(must=must)


def _hit(point: Any) -> Hit:
    payload = point.payload
    return Hit(
        int(point.id),
        payload["person"],
        payload["camera"],
        int(payload["start"]),
        int(payload["end"]),
        float(point.score),
    )
