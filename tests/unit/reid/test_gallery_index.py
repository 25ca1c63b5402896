from __future__ import annotations

import numpy as np
import pytest

from services.reid.gallery.index import Entry, Filter, GalleryIndex
from services.reid.gallery.snapshot import read_snapshot, write_snapshot
from shared.errors import Corrupt

DIGEST = "d" * 64


def vectors(count: int, seed: int = 0):
    found = np.random.default_rng(seed).normal(size=(count, 256)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def entries(count: int, cameras=("a", "b")) -> list[Entry]:
    return [
        Entry(
            n + 1, f"P{n % 7}", cameras[n % len(cameras)], n * 10, n * 10 + 5, f"crops/{n}", vector
        )
        for n, vector in enumerate(vectors(count))
    ]


def ids(hits) -> list[int]:
    return [hit.entry.id for hit in hits]


@pytest.fixture
def index():
    index = GalleryIndex(DIGEST)
    index.put(entries(200))
    return index


def test_the_nearest_come_first_as_by_brute_force(index):
    query = vectors(1, seed=9)[0]
    expected = sorted(entries(200), key=lambda e: -float(e.vector @ query))[:10]
    hits = index.search(query, 10)
    assert [hit.entry.id for hit in hits] == [entry.id for entry in expected]
    assert hits[0].similarity == pytest.approx(float(expected[0].vector @ query), abs=1e-5)


@pytest.mark.parametrize(
    "only",
    [
        Filter(camera_ids={"a"}),
        Filter(start_us=1_900),
        Filter(end_us=40),
        Filter(camera_ids={"b"}, start_us=500, end_us=700),
    ],
)
def test_a_narrow_filter_does_not_starve_the_result(index, only):
    query = vectors(1, seed=9)[0]
    admitted = [entry for entry in entries(200) if only.admits(entry)]
    expected = sorted(admitted, key=lambda e: -float(e.vector @ query))[:10]
    assert [hit.entry.id for hit in index.search(query, 10, only)] == [e.id for e in expected]


def test_a_filter_that_admits_nobody_finds_nobody(index):
    assert index.search(vectors(1)[0], 10, Filter(camera_ids={"z"})) == []


def test_an_empty_gallery_finds_nobody():
    assert GalleryIndex(DIGEST).search(vectors(1)[0], 10) == []


def test_putting_a_tracklet_again_replaces_it(index):
    moved = entries(200)[3]
    renamed = Entry(moved.id, "somebody", "a", 0, 1, "x", vectors(1, seed=5)[0])
    index.put([renamed])
    assert len(index) == 200
    assert index.search(renamed.vector, 1)[0].entry.person_id == "somebody"


def test_a_snapshot_gives_the_same_index_back(tmp_path, index):
    path = tmp_path / "gallery" / "x.snapshot"
    write_snapshot(path, list(index.entries), revision=42, model_digest=DIGEST)
    found, revision = read_snapshot(path, DIGEST)
    again = GalleryIndex(DIGEST)
    again.put(found)
    query = vectors(1, seed=3)[0]
    assert revision == 42
    assert ids(again.search(query, 5)) == ids(index.search(query, 5))


@pytest.fixture
def snapshot(tmp_path):
    path = tmp_path / "x.snapshot"
    write_snapshot(path, entries(20), revision=1, model_digest=DIGEST)
    return path


def test_one_flipped_bit_is_found(snapshot):
    raw = bytearray(snapshot.read_bytes())
    raw[-100] ^= 1
    snapshot.write_bytes(raw)
    with pytest.raises(Corrupt, match="checksum"):
        read_snapshot(snapshot, DIGEST)


@pytest.mark.parametrize("kept", [0, 5, 20, 100, 3000])
def test_a_torn_snapshot_is_refused(snapshot, kept):
    snapshot.write_bytes(snapshot.read_bytes()[:kept])
    with pytest.raises(Corrupt):
        read_snapshot(snapshot, DIGEST)


def test_a_snapshot_of_another_model_is_refused(snapshot):
    with pytest.raises(Corrupt, match="another model"):
        read_snapshot(snapshot, "e" * 64)
