"""Data sets over REST: what is taken, what is refused, and that nothing of the refused stays."""

from __future__ import annotations

import asyncio
import io
import resource
import shutil
import struct
import zipfile

import numpy as np
import pytest
from ulid import ULID

from services.synthetic.training.pictures import read_pictures
from services.synthetic.uploads.key_note import keyed
from shared.made_data import DataKind, MadeAbout, MadeData, MadeFolder
from shared.mark import is_marked, marked
from tests.unit.synthetic.studio import arrays, letters, picture, running_studio, zipped


@pytest.fixture
async def studio(bus, redis_server, tmp_path):
    async with running_studio(
        bus,
        redis_server,
        tmp_path,
        dataset_max_bytes=200_000,
        dataset_max_unpacked_bytes=500_000,
        dataset_max_pictures=50,
    ) as studio:
        yield studio


def left_behind(studio) -> list[str]:
    return [path.name for path in studio.datasets.iterdir()] if studio.datasets.exists() else []


async def test_a_zip_of_classes_becomes_a_data_set_that_loaders_read(studio):
    made = await studio.send(letters(), licence="CC0")
    assert made.status_code == 201, made.text
    told = made.json()
    assert (told["name"], told["classes"], told["synthetic"]) == ("letters", ["a", "b"], False)
    assert told["counts"] == {"pictures": 8, "of a": 4, "of b": 4}
    assert (told["width"], told["height"], told["channels"]) == (8, 8, 3)
    again = await studio.api.get(made.headers["location"])
    assert again.json() == told
    data = MadeData.read(studio.datasets / told["id"])
    pictures = read_pictures(data.folder / "images")
    assert (len(pictures), pictures.classes) == (8, ("a", "b"))
    sheet = await studio.api.get(f"{made.headers['location']}/sheet.png")
    assert sheet.content.startswith(b"\x89PNG")


async def test_an_npz_becomes_pictures_of_its_classes(studio):
    images = np.arange(6 * 8 * 9, dtype=np.uint8).reshape(6, 8, 9)
    labels = np.array([0, 1] * 3, np.uint8)
    sent = arrays(images=images, labels=labels, classes=np.array(["x", "y"]))
    told = (await studio.send(sent)).json()
    assert (told["classes"], told["width"], told["channels"]) == (["x", "y"], 9, 1)
    found = read_pictures(studio.datasets / told["id"] / "images")
    assert np.array_equal(found.images[0, 0], images[0])
    labels = np.array([0, 10**12] * 3)
    told = (await studio.send(arrays(images=images, labels=labels))).json()
    assert told["classes"] == ["0", str(10**12)], "and the memory holds no name for each between"


async def test_crops_of_persons_are_of_their_cameras(studio):
    names = ["0002_c1s1_000451_03.png", "0002_c3s2_000001_00.png"]
    told = (await studio.send(zipped({n: picture() for n in names}), kind="persons")).json()
    assert told["classes"] == ["c1", "c3"]
    refused = await studio.send(zipped({"a.png": picture(), "b.png": picture()}), kind="persons")
    assert (refused.status_code, refused.json()["code"]) == (422, "not_persons")


async def test_a_data_set_goes_and_comes_back_as_it_was_made_pictures_and_all(studio):
    folder = MadeFolder(studio.datasets / str(ULID()))
    for n in range(2):
        folder.add(f"images/{n}.png", picture(n))
    made = folder.close(
        MadeAbout(
            name="made",
            kind=DataKind.PICTURES,
            system="gan",
            counts={"pictures": 2},
            licence="research use",
        )
    )
    path = f"/v1/datasets/{made.folder.name}"
    archive = (await studio.api.get(f"{path}/archive.zip")).content
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        assert is_marked(opened.read("images/0.png"))
    assert (await studio.api.delete(path)).status_code == 204
    assert (await studio.api.get(path)).json()["code"] == "unknown_dataset"
    told = (await studio.send(archive)).json()
    assert MadeData.read(studio.datasets / told["id"]).manifest == made.manifest
    torn = zipped({"manifest.json": (studio.datasets / told["id"] / "manifest.json").read_bytes()})
    refused = await studio.send(torn)
    assert (refused.status_code, refused.json()["code"]) == (422, "listing_checksum")


def bomb() -> bytes:
    return zipped({"a.png": picture(), "b.png": bytes(600_000)})


def array_bomb() -> bytes:
    """An array of a few bytes whose header promises a terabyte."""
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1048576, 1024, 1024), }\n"
    head = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    return zipped({"images.npy": head})


def encrypted() -> bytes:
    """As far as its header says."""
    body = bytearray(zipped({"a.png": picture(), "b.png": picture()}))
    body[body.index(b"PK\x01\x02") + 8] |= 1
    return bytes(body)


def damaged(packing: int) -> bytes:
    """A byte of its first picture is another."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", packing) as archive:
        for n in range(2):
            archive.writestr(f"{n}.png", picture(n))
    body = bytearray(packed.getvalue())
    body[60] ^= 0xFF
    return bytes(body)


def misnamed() -> bytes:
    """Its directory says that its names are UTF-8."""
    return zipped({"\xe9.png": picture(), "b.png": picture()}).replace(b"\xc3\xa9", b"\xc3\x28")


def classed(*names: str | tuple[str, ...]) -> bytes:
    images, labels = np.zeros((4, 8, 8), np.uint8), np.array([0, 1, 0, 1])
    return arrays(images=images, labels=labels, classes=np.array(names))


def torn_array() -> bytes:
    """The text of its header has an open bracket."""
    packed = io.BytesIO()
    np.save(packed, np.zeros((4, 8, 8), np.uint8))
    return zipped({"images.npy": packed.getvalue().replace(b"8), }", b"8   }")})


REFUSED = {
    "no archive": (b"GIF89a", 415, "not_an_archive"),
    "nothing": (b"", 415, "not_an_archive"),
    "empty archive": (zipped({}), 422, "too_few_pictures"),
    "one picture": (zipped({"a.png": picture()}), 422, "too_few_pictures"),
    "one in an npz": (arrays(images=np.zeros((1, 8, 8), np.uint8)), 422, "too_few_pictures"),
    "floats": (arrays(images=np.zeros((4, 8, 8), np.float32)), 422, "not_pictures"),
    "foreign labels": (
        arrays(images=np.zeros((4, 8, 8), np.uint8), labels=np.array([0, 1, 2, -1])),
        422,
        "not_pictures",
    ),
    "a class below a class": (classed("a/b", "c"), 422, "not_pictures"),
    "a class without a name": (classed("", "b"), 422, "bad_file_name"),
    "a class that leads out": (classed("..", "b"), 422, "bad_file_name"),
    "one class twice": (classed("a", "a"), 422, "not_pictures"),
    "a table of classes": (classed(("a", "b"), ("c", "d")), 422, "not_pictures"),
    "half a header": (torn_array(), 422, "not_pictures"),
    "objects": (arrays(images=np.array([{}, {}], dtype=object)), 422, "not_pictures"),
    "tiny": (letters(4, width=4), 422, "image_too_small"),
    "text": (zipped({"a.png": picture(), "b.txt": b"hello"}), 422, "not_pictures"),
    "false picture": (zipped({"a.png": picture(), "b.png": b"hello"}), 415, "not_an_image"),
    "cut picture": (zipped({"a.png": picture(), "b.png": picture()[:90]}), 422, "image_truncated"),
    "leads out": (zipped({"a/1.png": picture(), "../2.png": picture()}), 422, "bad_file_name"),
    "from the root": (zipped({"/a.png": picture(), "/b.png": picture()}), 422, "bad_file_name"),
    "at two depths": (zipped({"a.png": picture(), "b/c.png": picture()}), 422, "not_pictures"),
    "made": (zipped({"a.png": picture(), "b.png": marked(picture())}), 422, "synthetic_image"),
    "a bomb": (bomb(), 413, "unpacked_too_large"),
    "a bomb of an array": (array_bomb(), 413, "unpacked_too_large"),
    "too many": (zipped({f"{n}.png": b"" for n in range(60)}), 413, "too_many_pictures"),
    "encrypted": (encrypted(), 422, "archive_broken"),
    "damaged LZMA": (damaged(zipfile.ZIP_LZMA), 422, "archive_broken"),
    "damaged bzip2": (damaged(zipfile.ZIP_BZIP2), 422, "archive_broken"),
    "misnamed": (misnamed(), 422, "archive_broken"),
    "cut archive": (letters()[:-30], 415, "not_an_archive"),
    "too large": (bytes(200_001), 413, "body_too_large"),
}


async def test_what_is_no_picture_set_is_refused_and_leaves_nothing(studio):
    for name, (archive, status, code) in REFUSED.items():
        refused = await studio.send(archive)
        assert (refused.status_code, refused.json()["code"]) == (status, code), name
        assert refused.headers["content-type"] == "application/problem+json"
        assert left_behind(studio) == [], name


async def test_a_retry_with_its_key_makes_no_second_data_set(studio):
    first = await studio.send(letters(), key="k")
    again = await studio.send(letters(), key="k")
    assert (again.status_code, again.json()) == (201, first.json())
    other = await studio.send(letters(6), key="k")
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    listed = (await studio.api.get("/v1/datasets")).json()
    assert [one["id"] for one in listed["items"]] == [first.json()["id"]]


async def test_two_that_come_with_one_key_at_once_make_one_data_set(studio):
    answers = await asyncio.gather(*(studio.send(letters(40), key="k") for _ in range(4)))
    told = {answer.status_code: answer.json() for answer in answers}
    assert told.keys() <= {201, 409}
    assert 201 in told
    assert told.get(409, {"code": "in_progress"})["code"] == "in_progress"
    assert (await studio.send(letters(40), key="k")).json() == told[201]
    listed = (await studio.api.get("/v1/datasets")).json()["items"]
    assert [one["id"] for one in listed] == [told[201]["id"]]


async def test_while_one_holds_the_key_another_is_told_to_wait(studio):
    with keyed(studio.datasets / ".keys", "k"):
        early = await studio.send(letters(), key="k")
    assert (early.status_code, early.json()["code"]) == (409, "in_progress")
    assert (await studio.send(letters(), key="k")).status_code == 201


async def test_a_key_whose_process_died_goes_on_with_the_id_that_was_noted(studio):
    first = (await studio.send(letters(), key="k")).json()["id"]
    shutil.rmtree(studio.datasets / first)  # as if it had died before the data set stood
    (studio.datasets / f".new-{first}").mkdir()
    assert (await studio.send(letters(), key="k")).json()["id"] == first
    assert [name for name in left_behind(studio) if name.startswith(".new-")] == []


async def test_a_key_whose_order_was_refused_can_be_used_again(studio):
    refused = await studio.send(zipped({"a.png": picture()}), key="k")
    assert refused.status_code == 422
    assert (await studio.send(letters(), key="k")).status_code == 201


async def test_one_broken_data_set_hides_no_other_and_can_be_deleted(studio):
    ids = [(await studio.send(letters())).json()["id"] for _ in range(3)]
    (studio.datasets / ids[1] / "manifest.json").write_text("{")
    (studio.datasets / ids[2] / "manifest.json").unlink()
    listed = await studio.api.get("/v1/datasets", params={"limit": 1})
    assert [one["id"] for one in listed.json()["items"]] == [ids[0]]
    for one in ids[1:]:
        assert (await studio.api.delete(f"/v1/datasets/{one}")).status_code == 204
    assert (await studio.api.delete(f"/v1/datasets/{ids[1]}")).json()["code"] == "unknown_dataset"
    assert (await studio.api.delete("/v1/datasets/..")).status_code in (404, 405)


@pytest.mark.parametrize(
    ("pictures", "count", "status", "code"),
    [
        ([marked(picture(0)), picture(1)], 2, 422, "synthetic_image"),
        ([b"not a picture", picture(1)], 2, 415, "not_an_image"),
        ([picture(0, 4, 4), picture(1)], 2, 422, "image_too_small"),
        ([picture(0), picture(1)], 4000, 422, "counts_differ"),
    ],
)
async def test_a_manifest_vouches_for_no_picture(studio, tmp_path, pictures, count, status, code):
    folder = MadeFolder(tmp_path / "real", synthetic=False)
    for n, body in enumerate(pictures):
        folder.add(f"images/{n}.png", body)
    folder.close(
        MadeAbout(
            name="real",
            kind=DataKind.PICTURES,
            synthetic=False,
            counts={"pictures": count},
            licence="CC0",
        )
    )
    files = [path for path in (tmp_path / "real").rglob("*") if path.is_file()]
    names = {path.relative_to(tmp_path / "real").as_posix(): path.read_bytes() for path in files}
    refused = await studio.send(zipped(names))
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert left_behind(studio) == []


async def test_the_list_is_read_page_by_page_the_newest_first(studio):
    ids = [(await studio.send(letters())).json()["id"] for _ in range(3)]
    first = (await studio.api.get("/v1/datasets", params={"limit": 2})).json()
    last = await studio.api.get("/v1/datasets", params={"cursor": first["next_cursor"]})
    found = [one["id"] for one in first["items"] + last.json()["items"]]
    assert found == sorted(ids, reverse=True)


@pytest.fixture
def full_disk():
    """Files may grow to so many bytes from now on: writing beyond fails in the middle."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [1_000, 12_000], ids=["for the upload", "for what it holds"])
async def test_on_a_full_disk_it_says_so_and_nothing_stays(studio, full_disk, room):
    blank = arrays(images=np.random.default_rng(0).integers(0, 99, (2, 90, 90)).astype(np.uint8))
    plain = zipped({f"{n}.png": picture(n, 60, 60) for n in range(2)})
    full_disk(room)
    refused = await studio.send(blank if room > 2_000 else plain)
    full_disk(resource.RLIM_INFINITY)
    assert (refused.status_code, refused.json()["code"]) == (503, "disk_full")
    assert left_behind(studio) == []
