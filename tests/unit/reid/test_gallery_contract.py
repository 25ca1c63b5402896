"""What every gallery promises, asked of each: FAISS, and Qdrant in its client's local mode."""

from __future__ import annotations

import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient

from services.reid.gallery.faiss_gallery import FaissGallery
from services.reid.gallery.gallery import Batch, Filter, Mode
from services.reid.gallery.qdrant_gallery import QdrantGallery
from shared.errors import Malformed

pytestmark = [
    pytest.mark.filterwarnings("ignore:Local mode performs exact:UserWarning"),
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect:UserWarning"),
]
DIGEST = "d" * 64


def vectors(count: int, seed: int = 0):
    found = np.random.default_rng(seed).normal(size=(count, 256)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def batch(count: int, *, first: int = 1, seed: int = 0) -> Batch:
    """Row n is seen by one of three cameras from 10 n to 10 n + 5."""
    rows = np.arange(count)
    return Batch(
        ids=rows + first,
        persons=[f"P{row % 7}" for row in rows],
        cameras=["abc"[row % 3] for row in rows],
        starts=rows * 10,
        ends=rows * 10 + 5,
        vectors=vectors(count, seed).astype(np.float16),
    )


def nearest(rows: Batch, query, limit: int, admits=lambda _: True) -> list[int]:
    """Ids by brute force."""
    alike = rows.vectors.astype(np.float32) @ query
    order = [row for row in np.argsort(-alike) if admits(row)]
    return [int(rows.ids[row]) for row in order[:limit]]


def ids(answer) -> list[int]:
    return [hit.id for hit in answer.hits]


@pytest.fixture(params=["faiss", "qdrant"])
async def empty(request, tmp_path):
    if request.param == "faiss":
        gallery = FaissGallery(tmp_path, DIGEST)
        await gallery.open(0)
        yield gallery
    else:
        client = AsyncQdrantClient(location=":memory:")
        gallery = QdrantGallery(client, DIGEST)
        await gallery.open(0)
        yield gallery
        await client.close()


@pytest.fixture
async def gallery(empty):
    await empty.put(batch(200), 200)
    return empty


QUERY = vectors(1, seed=9)[0]


@pytest.mark.parametrize("mode", Mode)
async def test_the_nearest_come_first_as_by_brute_force(gallery, mode):
    answer = await gallery.search(QUERY, 10, mode=mode)
    assert ids(answer) == nearest(batch(200), QUERY, 10)
    alike = batch(200).vectors.astype(np.float32) @ QUERY
    assert answer.hits[0].similarity == pytest.approx(alike.max(), abs=1e-3)


async def test_a_hit_tells_who_where_and_when(gallery):
    (hit,) = (await gallery.search(vectors(200)[5], 1)).hits
    assert (hit.id, hit.person_id, hit.camera_id, hit.start_us, hit.end_us) == (
        6,
        "P5",
        "c",
        50,
        55,
    )


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize(
    ("only", "admits"),
    [
        (Filter(camera_ids={"a"}), lambda row: row % 3 == 0),
        (Filter(start_us=1_955), lambda row: row * 10 + 5 >= 1_955),
        (Filter(end_us=40), lambda row: row * 10 < 40),
        (
            Filter(camera_ids={"a", "b"}, start_us=500, end_us=700),
            lambda row: row % 3 < 2 and 495 <= row * 10 < 700,
        ),
    ],
)
async def test_a_narrow_filter_does_not_starve_the_result(gallery, only, admits, mode):
    expected = nearest(batch(200), QUERY, 10, admits)
    assert ids(await gallery.search(QUERY, 10, only, mode)) == expected
    assert await gallery.count(only) == sum(map(admits, range(200)))


async def test_a_filter_that_admits_nobody_finds_nobody(gallery):
    assert ids(await gallery.search(QUERY, 10, Filter(camera_ids={"z"}))) == []
    assert ids(await gallery.search(QUERY, 10, Filter(camera_ids=frozenset()))) == []


async def test_an_empty_gallery_finds_nobody(empty):
    assert ids(await empty.search(QUERY, 10)) == []
    assert (await empty.count(), await empty.persons()) == (0, 0)


async def test_more_than_there_is_finds_all_there_is(gallery):
    assert len((await gallery.search(QUERY, 1_000)).hits) == 200


async def test_putting_a_tracklet_again_replaces_it(gallery):
    moved = Batch(
        np.array([4]),
        ["somebody"],
        ["z"],
        np.array([7]),
        np.array([8]),
        vectors(1, seed=5).astype(np.float16),
    )
    await gallery.put(moved, 201)
    (hit,) = (await gallery.search(vectors(1, seed=5)[0], 1)).hits
    assert (hit.id, hit.person_id, hit.camera_id, hit.start_us) == (4, "somebody", "z", 7)
    assert await gallery.count() == 200
    assert await gallery.count(Filter(camera_ids={"z"})) == 1


async def test_what_was_forgotten_is_found_by_nobody(gallery):
    gone = nearest(batch(200), QUERY, 3)
    await gallery.forget([*gone, 9_999], 203)
    left = [id_ for id_ in nearest(batch(200), QUERY, 13) if id_ not in gone]
    assert ids(await gallery.search(QUERY, 10)) == left
    assert (await gallery.count(), gallery.revision) == (197, 203)


async def test_a_person_whose_last_tracklet_was_forgotten_is_gone(gallery):
    await gallery.forget([id_ for id_ in range(1, 201) if (id_ - 1) % 7 == 3], 201)
    assert await gallery.persons() == 6


async def test_all_can_be_forgotten_and_life_goes_on(gallery):
    await gallery.forget(range(1, 201), 201)
    assert ids(await gallery.search(QUERY, 10)) == []
    await gallery.put(batch(5, first=300), 206)
    assert sorted(ids(await gallery.search(QUERY, 10))) == [300, 301, 302, 303, 304]


@pytest.mark.parametrize(
    ("vector", "code"),
    [
        (np.zeros(128, np.float32), "vector_shape"),
        (np.zeros((1, 256), np.float32), "vector_shape"),
        (np.zeros(256, np.float32), "vector_zero"),
        (np.full(256, np.nan, np.float32), "vector_not_finite"),
        (np.full(256, np.inf, np.float32), "vector_not_finite"),
    ],
)
async def test_a_query_that_is_no_vector_is_refused(gallery, vector, code):
    with pytest.raises(Malformed) as refused:
        await gallery.search(vector, 10)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (np.ones((1, 128), np.float16), "vector_shape"),
        (np.zeros((1, 256), np.float16), "vector_length"),
        (np.full((1, 256), np.nan, np.float16), "vector_not_finite"),
    ],
)
async def test_vectors_that_are_none_are_refused_and_nothing_is_taken(gallery, bad, code):
    sound = batch(2, first=500)
    vectors = np.vstack([sound.vectors, bad]) if bad.shape[1] == 256 else bad
    count = len(vectors)
    wrong = Batch(
        np.arange(500, 500 + count),
        ["P"] * count,
        ["a"] * count,
        np.zeros(count, np.int64),
        np.zeros(count, np.int64),
        vectors,
    )
    with pytest.raises(Malformed) as refused:
        await gallery.put(wrong, 300)
    assert refused.value.code == code
    assert (await gallery.count(), gallery.revision) == (200, 200)


async def test_a_longer_query_of_the_same_direction_finds_the_same(gallery):
    assert ids(await gallery.search(30 * QUERY, 5)) == nearest(batch(200), QUERY, 5)


async def test_an_answer_states_its_recall_once_that_is_measured(gallery):
    recall = await gallery.measure(20)
    assert recall == {Mode.EXACT: 1.0, Mode.BALANCED: 1.0, Mode.FAST: 1.0}
    for mode in Mode:
        assert (await gallery.search(QUERY, 5, mode=mode)).recall == 1.0
