from __future__ import annotations

import asyncio
import random

import pytest

from shared.blobs import FolderBlobs
from shared.errors import Invalid, Missing, Unavailable
from tests.unit.shared.floor import end_of, start, until
from tests.unit.shared.programs import fill, overwrite


@pytest.fixture
def root(tmp_path):
    return tmp_path / "blobs"


@pytest.fixture
def blobs(root):
    return FolderBlobs(root)


def files(folder) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


async def test_what_is_put_is_got(blobs, root):
    await blobs.put("crops/gate/1.jpg", b"one")
    await blobs.put("crops/gate/1.jpg", b"two")
    await blobs.put("empty", b"")
    assert await blobs.get("crops/gate/1.jpg") == b"two"
    assert await blobs.get("empty") == b""
    assert files(root) == {"crops/gate/1.jpg", "empty"}


@pytest.mark.parametrize("key", ["none", "crops/none", "crops", "crops/1/under-a-file"])
async def test_where_nothing_is_stored_is_missing(blobs, key):
    await blobs.put("crops/1", b"x")
    with pytest.raises(Missing):
        await blobs.get(key)
    await blobs.delete("no/such/blob")


async def test_what_lies_below_a_key_is_listed_in_order(blobs, root):
    for key in ("clips/gate/2", "clips/gate/10", "clips/gate-2/1", "clips/gate/a/1"):
        await blobs.put(key, b"x")
    (root / "clips" / "gate" / ".new-half").write_bytes(b"is being written")
    listed = ["clips/gate/10", "clips/gate/2", "clips/gate/a/1"]
    assert await blobs.below("clips/gate") == listed
    assert await blobs.below("clips/none") == []
    with pytest.raises(Invalid):
        await blobs.below("../outside")


async def test_a_blob_or_all_below_a_key_are_deleted(blobs, root):
    for key in ("crops/a/1", "crops/a/2", "crops/ab", "letters/1"):
        await blobs.put(key, b"x")
    await blobs.delete("crops/a")
    assert files(root) == {"crops/ab", "letters/1"}
    await blobs.delete("crops/ab")
    await blobs.delete("crops/ab")
    await blobs.delete("letters/1/under-a-file")
    assert files(root) == {"letters/1"}


@pytest.mark.parametrize(
    "key",
    [
        *("", ".", "..", "/", "/etc/passwd", "../outside", "a/../../outside", "a/..", "a/.", "./a"),
        *("a//b", "a/", "a\\b", "a b", "a\n", "a\x00", "ä", "~", "a" * 201, "%2e%2e/a"),
    ],
    ids=repr,
)
async def test_a_key_leads_nowhere_else(blobs, root, key):
    await blobs.put("crops/1", b"x")
    (root.parent / "outside").write_text("secret")
    for act in (blobs.get(key), blobs.put(key, b"y"), blobs.delete(key)):
        with pytest.raises(Invalid):
            await act
    assert files(root.parent) == {"blobs/crops/1", "outside"}


@pytest.mark.parametrize("key", ["...", ".hidden", "a..b", "a/..b", "a" * 200])
async def test_odd_names_are_names(blobs, key):
    await blobs.put(key, b"x")
    assert await blobs.get(key) == b"x"


async def test_a_reader_and_a_crash_see_all_of_a_blob_or_none_of_it(blobs, root):
    chance = random.Random(5)
    for _ in range(4):
        writer = start(overwrite, str(root))
        await until((root / "evidence" / "large").exists)
        for _ in range(chance.randint(3, 12)):
            body = await blobs.get("evidence/large")
            assert len(body) == 500_000
            assert body == body[:1] * len(body)
        writer.kill()
        await end_of(writer)
        body = await blobs.get("evidence/large")
        assert body == body[:1] * 500_000


async def test_a_full_disk_is_unavailable_and_keeps_what_was_there(blobs, root):
    await blobs.put("evidence/large", b"the old one")
    assert await end_of(start(fill, str(root))) == 0
    assert await blobs.get("evidence/small") == b"it was full"
    assert await blobs.get("evidence/large") == b"the old one"
    assert files(root) == {"evidence/small", "evidence/large"}


async def test_a_store_that_is_away_is_unavailable(tmp_path):
    (tmp_path / "no-folder").write_text("a file")
    with pytest.raises(Unavailable):
        await FolderBlobs(tmp_path / "no-folder").put("a", b"x")


async def test_many_delete_at_once(blobs, root):
    for n in range(40):
        await blobs.put(f"crops/{n % 10}/{n}", b"x")
    await asyncio.gather(*(blobs.delete("crops") for _ in range(4)))
    assert files(root) == set()


async def test_many_write_at_once(blobs, root):
    await asyncio.gather(*(blobs.put(f"crops/{n % 5}", bytes([n])) for n in range(50)))
    assert files(root) == {f"crops/{n}" for n in range(5)}
