"""The index in memory, its codes and its snapshot."""

from __future__ import annotations

import asyncio
import json
import threading

import numpy as np
import pytest

from services.reid.gallery.codes import Coder
from services.reid.gallery.faiss_gallery import FaissGallery
from services.reid.gallery.gallery import OPEN, Filter, Mode
from services.reid.gallery.index import CANDIDATES, SMALL, GalleryIndex
from services.reid.gallery.snapshot import MAGIC, Picture, read_snapshot, write_snapshot
from shared.errors import Corrupt
from tests.unit.reid.test_gallery_contract import batch, vectors

DIGEST = "d" * 64
MANY = SMALL + 5_000


def people(count: int, seed: int = 0):
    """Ten vectors of each person, alike."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(count // 10, 256)).repeat(10, axis=0)
    found = (own + 0.7 * rng.normal(size=(count, 256))).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def large() -> GalleryIndex:
    index = GalleryIndex()
    rows = batch(MANY)
    rows.vectors[:] = people(MANY)
    for start in range(0, MANY, 10_000):
        index.put(rows.picked(np.arange(start, min(start + 10_000, MANY))))
    return index


def ids(hits) -> list[int]:
    return [hit.id for hit in hits]


QUERY = people(10, seed=5)[0]


def found(index: GalleryIndex, mode: Mode, only: Filter = OPEN, limit: int = 10):
    hits, used = index.search(QUERY, limit, only, mode)
    return ids(hits), used


def test_a_small_gallery_is_searched_exactly_whatever_is_asked_for():
    index = GalleryIndex()
    index.put(batch(300))
    assert all(index.search(QUERY, 5, mode=mode)[1] is Mode.EXACT for mode in Mode)


@pytest.mark.parametrize("mode", [Mode.BALANCED, Mode.FAST])
def test_a_large_one_by_codes_first_and_then_by_vectors(large, mode):
    shares = [large.found_without(row, mode, limit=5) for row in range(0, MANY, 1_000)]
    assert np.mean(shares) > 0.9
    hits, used = large.search(QUERY, 5, mode=mode)
    assert used is mode
    exact = large.vectors.astype(np.float32) @ QUERY
    for hit in hits:
        assert hit.similarity == pytest.approx(exact[hit.id - 1], abs=1e-3)


def test_a_wide_filter_is_kept_while_codes_are_compared(large):
    only = Filter(camera_ids={"a", "b", "c"}, start_us=50)
    hits, used = large.search(QUERY, 400, only, Mode.BALANCED)
    assert used is Mode.BALANCED
    assert len(hits) == 400
    assert min(ids(hits)) >= 5


@pytest.mark.parametrize("mode", Mode)
def test_a_narrow_filter_of_a_large_gallery_is_exact_and_full(large, mode):
    only = Filter(start_us=100, end_us=190)
    hits, used = found(large, mode, only, limit=30)
    assert used is Mode.EXACT
    assert sorted(hits) == list(range(11, 20))


@pytest.mark.parametrize("mode", [Mode.BALANCED, Mode.FAST])
def test_as_many_are_found_as_are_wanted(large, mode):
    wanted = CANDIDATES[mode] + 500
    assert len(found(large, mode, limit=wanted)[0]) == wanted


def test_what_is_forgotten_frees_its_memory():
    index = GalleryIndex()
    index.put(batch(MANY))
    before = index.memory_bytes
    index.forget(range(1, MANY - 99))
    assert len(index) == 100
    assert index.memory_bytes == before * 100 // MANY
    assert index.vectors.nbytes == 100 * 512
    assert index._vectors.codes.size() == 100 * 512
    assert len(index.columns.column("ids").base) == 100
    assert len(index.codes) == 100
    query = vectors(MANY)[MANY - 1]
    assert ids(index.search(query, 1)[0]) == [MANY]


def test_names_of_the_forgotten_are_gone_too():
    index = GalleryIndex()
    index.put(batch(70))
    index.forget(range(1, 70))
    assert (index.columns.persons.all, index.columns.cameras.all) == (["P6"], ["a"])
    (hit,) = index.search(QUERY, 5)[0]
    assert (hit.id, hit.person_id, hit.camera_id) == (70, "P6", "a")


@pytest.mark.parametrize("count", [300, MANY])
def test_a_tracklet_whose_vector_changed_is_found_by_the_new_one(count):
    index = GalleryIndex()
    index.put(batch(count))
    changed = batch(1, first=4, seed=8)
    index.put(changed)
    for mode in Mode:
        (hit,) = index.search(vectors(1, seed=8)[0], 1, mode=mode)[0]
        assert hit.id == 4
        assert hit.similarity > 0.99
    assert len(index) == count


def test_of_one_id_twice_in_a_batch_the_last_counts():
    index = GalleryIndex()
    rows = batch(4)
    rows.ids[:] = [1, 2, 1, 2]
    index.put(rows)
    assert len(index) == 2
    assert ids(index.search(vectors(4)[2], 1)[0]) == [1]
    assert index.search(vectors(4)[2], 1)[0][0].similarity > 0.99


def test_codes_are_the_signs_of_the_centred_vector():
    coder = Coder(np.full(256, 0.5, np.float32))
    vector = np.zeros((1, 256), np.float32)
    vector[0, [0, 9]] = 1.0
    assert coder.codes(vector)[0, :3].tolist() == [0b10000000, 0b01000000, 0]
    assert coder.codes(vector, 16)[0].tolist() == [0b10000000, 0b01000000]


def test_bits_of_learnt_codes_are_the_columns_of_their_projection():
    projection = np.roll(np.eye(256, dtype=np.float32), 8, axis=1)
    coder = Coder(np.full(256, 0.5, np.float32), projection)
    vector = np.zeros((1, 256), np.float32)
    vector[0, 0] = 1.0
    assert coder.codes(vector)[0, :2].tolist() == [0, 0b10000000]
    assert coder.codes(vector, 16)[0].tolist() == [0, 0b10000000]


@pytest.mark.parametrize("count", [0, 1, 300, MANY])
@pytest.mark.parametrize("learnt", [False, True])
def test_a_snapshot_gives_the_same_index_back(tmp_path, count, learnt):
    coder = Coder(np.zeros(256, np.float32), np.eye(256, dtype=np.float32)) if learnt else None
    index = GalleryIndex(coder)
    if count:
        index.put(batch(count))
    path = tmp_path / "gallery" / "x.snapshot"
    write_snapshot(path, Picture.of(index), revision=42, model_digest=DIGEST)
    again, revision = read_snapshot(path, DIGEST)
    assert (revision, len(again)) == (42, count)
    for mode in Mode:
        assert again.search(QUERY, 5, mode=mode) == index.search(QUERY, 5, mode=mode)
    index.put(batch(10, first=count + 1, seed=3))
    again.put(batch(10, first=count + 1, seed=3))
    again.forget([1])
    index.forget([1])
    assert again.search(QUERY, 5) == index.search(QUERY, 5)


async def test_a_gallery_that_has_forgotten_everybody_starts_again(tmp_path, monkeypatch):
    monkeypatch.setattr("services.reid.gallery.index.SMALL", 50)
    gallery = FaissGallery(tmp_path, DIGEST)
    await gallery.put(batch(60), 60)
    await gallery.forget(range(1, 61), 120)
    await gallery.save()
    again = FaissGallery(tmp_path, DIGEST)
    await again.open(120)
    assert (again.source, again.revision, await again.count()) == ("snapshot", 120, 0)
    await again.put(batch(60, first=61), 180)
    assert len((await again.search(QUERY, 10, mode=Mode.FAST)).hits) == 10


async def test_people_are_counted_while_nobody_changes_the_index(tmp_path):
    gallery = FaissGallery(tmp_path, DIGEST)
    await gallery.put(batch(60), 60)
    done = threading.Event()
    change = asyncio.create_task(gallery._turns.write(done.wait))
    await asyncio.sleep(0.01)
    count = asyncio.create_task(gallery.persons())
    await asyncio.sleep(0.05)
    waited = not count.done()
    done.set()
    await change
    assert (waited, await count) == (True, 7)


@pytest.fixture
def snapshot(tmp_path):
    index = GalleryIndex()
    index.put(batch(200))
    path = tmp_path / "x.snapshot"
    write_snapshot(path, Picture.of(index), revision=1, model_digest=DIGEST)
    return path


def test_any_flipped_bit_is_found(snapshot):
    sound = snapshot.read_bytes()
    for place in np.linspace(0, len(sound) - 1, 60).astype(int):
        raw = bytearray(sound)
        raw[place] ^= 1
        snapshot.write_bytes(raw)
        with pytest.raises(Corrupt):
            read_snapshot(snapshot, DIGEST)


@pytest.mark.parametrize("kept", [0, 5, 20, 100, 3000, -1])
def test_a_torn_snapshot_is_refused(snapshot, kept):
    snapshot.write_bytes(snapshot.read_bytes()[:kept])
    with pytest.raises(Corrupt):
        read_snapshot(snapshot, DIGEST)


@pytest.mark.parametrize("section", ["starts", "codes", "mean"])
def test_a_section_of_a_size_that_cannot_be_is_refused(snapshot, section):
    index = GalleryIndex()
    index.put(batch(200))
    picture = Picture.of(index)
    picture.arrays[section] = np.zeros(7, np.uint8)
    write_snapshot(snapshot, picture, revision=1, model_digest=DIGEST)
    with pytest.raises(Corrupt):
        read_snapshot(snapshot, DIGEST)


def test_a_snapshot_of_another_model_is_refused(snapshot):
    with pytest.raises(Corrupt, match="another model"):
        read_snapshot(snapshot, "e" * 64)


def test_the_format_of_earlier_versions_is_refused_and_not_misread(snapshot):
    head = json.dumps({"revision": 1, "model_digest": DIGEST, "count": 0, "sha256": ""})
    snapshot.write_bytes(b"CBGALLERY1\n" + head.encode() + b"\n")
    assert not MAGIC.startswith(b"CBGALLERY1")
    with pytest.raises(Corrupt, match="no gallery snapshot"):
        read_snapshot(snapshot, DIGEST)
