"""Spaces: each loaded for itself, measured when it has changed, brought up with the tables."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import REGISTRY
from qdrant_client import AsyncQdrantClient

from services.reid.gallery.announcing import Herald
from services.reid.gallery.faiss_gallery import FaissGallery
from services.reid.gallery.forgetting import Erasure, Forgetting
from services.reid.gallery.gallery import Mode
from services.reid.gallery.qdrant_gallery import QdrantGallery
from services.reid.gallery.space import Space
from services.reid.gallery.spaces import Spaces
from shared.blobs import FolderBlobs
from shared.health import Health
from tests.unit.reid.test_gallery_writer import DIGEST, at, clip, gallery, tracklet

pytestmark = [
    pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning"),
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning"),
]
__all__ = ["gallery"]


class SlowlyOpened(FaissGallery):
    """Of a model whose space takes as long to load as one lets it."""

    may_open = asyncio.Event()

    async def open(self, newest: int) -> None:
        if self.model_digest != DIGEST:
            await self.may_open.wait()
        await super().open(newest)


async def test_while_one_space_is_loaded_the_others_are_searched(gallery, tmp_path):
    made: list[str] = []

    def make(digest: str) -> FaissGallery:
        made.append(digest)
        return SlowlyOpened(tmp_path / "shelf", digest)

    SlowlyOpened.may_open = asyncio.Event()
    spaces = Spaces(gallery.database, make, Health().vital("spaces"), shared=False)
    slow = [asyncio.create_task(spaces.of("e" * 64)) for _ in range(2)]
    await asyncio.sleep(0.05)
    async with asyncio.timeout(5):
        assert (await spaces.of(DIGEST)).model_digest == DIGEST
    SlowlyOpened.may_open.set()
    first, second = await asyncio.gather(*slow)
    assert first is second
    assert sorted(made) == [DIGEST, "e" * 64], "who asks twice does not load twice"


class Counted(FaissGallery):
    """Counts how often its recall is measured."""

    measured = 0

    async def measure(self, sample: int) -> dict[Mode, float]:
        self.measured += 1
        return await super().measure(sample)


async def test_recall_is_measured_when_the_gallery_has_changed_also_when_it_is_empty(
    gallery, tmp_path
):
    space = Space(gallery.database, Counted(tmp_path / "counted", DIGEST))
    await space.load()
    for _ in range(3):
        await space.measure()
    assert space.gallery.measured == 1
    await gallery.take(clip(0, tracklet(0, "anna", at(0), x=50)))
    await space.follow()
    for _ in range(3):
        await space.measure()
    assert space.gallery.measured == 2


async def test_every_space_has_figures_of_its_own_until_it_is_closed(gallery, tmp_path):
    def told(space: Space) -> float | None:
        label = {"model": space.model_digest[:12]}
        return REGISTRY.get_sample_value("citybrain_gallery_tracklets", label)

    own, other = [
        Space(gallery.database, FaissGallery(tmp_path / "shelf", it)) for it in ("1" * 64, "2" * 64)
    ]
    await gallery.take(
        clip(0, tracklet(0, "anna", at(0), x=50)).model_copy(update={"model_digest": "1" * 64})
    )
    for space in (own, other):
        await space.load()
        await space.measure()
    assert (told(own), told(other)) == (1.0, 0.0)
    await own.close()
    assert (told(own), told(other)) == (None, 0.0)


async def test_who_was_forgotten_last_is_gone_from_a_cluster_that_the_next_leader_takes_up(
    gallery, tmp_path
):
    client = AsyncQdrantClient(location=":memory:")
    names = ("anna", "ben", "carl")
    await gallery.take(
        clip(0, *(tracklet(n, name, at(0), x=50 + 150 * n) for n, name in enumerate(names)))
    )
    anna, _, carl = (await gallery.persons()).values()
    leader = Space(gallery.database, QdrantGallery(client, DIGEST))
    await leader.load()
    forgetting = Forgetting(gallery.database, FolderBlobs(tmp_path / "blobs"), Herald(1))
    await forgetting.forget(Erasure(person_id=carl))
    await leader.follow()
    await forgetting.forget(Erasure(person_id=anna))
    heir = Space(gallery.database, QdrantGallery(client, DIGEST))
    await heir.load()
    assert await heir.gallery.count() == 1
    await client.close()
