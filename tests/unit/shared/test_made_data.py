from __future__ import annotations

import io
import json
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from pydantic import ValidationError

from shared.data_folder import LISTING, MANIFEST
from shared.errors import Conflict, Corrupt, Malformed, Missing, UnsupportedMedia
from shared.images import ImageLimits, decode, encode_jpeg, inspect
from shared.made_data import (
    DataKind,
    LabelPolicy,
    MadeAbout,
    MadeData,
    MadeFolder,
    Outcome,
    Verdict,
)
from shared.mark import MOST_TEXT, TRAINED_ALGORITHMIC_MEDIA, XMP, is_marked, marked

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 20, 3)).astype(np.uint8)


def png(pixels=PIXELS, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **options)
    return buffer.getvalue()


def about(**changes):
    told = {
        "name": "sevens",
        "kind": DataKind.CHARACTERS,
        "system": "dcgan",
        "seed": 3,
        "label_policy": LabelPolicy.LSR,
        "epsilon": 0.1,
        "lineage": {"parents": ["digits"]},
        "counts": {"pictures": 2},
        "licence": "research use",
        "classes": ("7",),
    }
    return MadeAbout.model_validate(told | changes)


@pytest.fixture
def made(tmp_path):
    folder = MadeFolder(tmp_path / "set")
    folder.add("images/7/000000.png", png())
    folder.add("images/7/000001.jpg", encode_jpeg(PIXELS))
    folder.add("labels.csv", b"images/7/000000.png,7\n")
    return folder.close(about())


@pytest.mark.parametrize("body", [png(), encode_jpeg(PIXELS)], ids=["png", "jpeg"])
def test_a_mark_changes_no_pixel_and_is_found_again(body):
    signed = marked(body)
    assert is_marked(signed)
    assert not is_marked(body)
    assert marked(signed) == signed
    assert np.array_equal(decode(signed, "rgb"), decode(body, "rgb"))
    inspect(signed, ImageLimits())


@pytest.mark.parametrize("body", [png(), encode_jpeg(PIXELS)], ids=["png", "jpeg"])
def test_foreign_readers_find_the_mark_as_xmp(body):
    with Image.open(io.BytesIO(marked(body))) as image:
        image.load()
        assert TRAINED_ALGORITHMIC_MEDIA in str(image.info["xmp"])


def test_text_behind_the_pixels_of_a_png_counts_and_pixels_never_do():
    plain = png()
    end = plain.rindex(b"IEND") - 4
    signed = marked(plain)
    chunk = signed[33 : signed.index(b"IDAT") - 4]
    assert is_marked(plain[:end] + chunk + plain[end:])
    text = np.frombuffer(TRAINED_ALGORITHMIC_MEDIA.encode().ljust(96, b"."), np.uint8)
    assert not is_marked(png(text.reshape(4, 8, 3), compress_level=0))
    assert not is_marked(encode_jpeg(PIXELS) + TRAINED_ALGORITHMIC_MEDIA.encode())


def test_compressed_text_of_a_png_counts_and_a_bomb_of_it_is_not_unpacked():
    packed, bomb = PngImagePlugin.PngInfo(), PngImagePlugin.PngInfo()
    packed.add_itxt("XML:com.adobe.xmp", XMP.decode(), zip=True)
    assert is_marked(png(pnginfo=packed))
    older = PngImagePlugin.PngInfo()
    older.add_text("Source", TRAINED_ALGORITHMIC_MEDIA, zip=True)
    assert is_marked(png(pnginfo=older))
    bomb.add_text("Source", " " * MOST_TEXT + TRAINED_ALGORITHMIC_MEDIA, zip=True)
    assert not is_marked(png(pnginfo=bomb)), "what lies so far behind is not read"
    torn = png(pnginfo=packed).replace(b"\0\1\0\0\0x", b"\0\1\0\0\0y")
    assert not is_marked(torn)


def test_what_is_cut_off_or_no_image_has_no_mark_and_gets_none():
    for length in range(0, 60, 7):
        assert not is_marked(png()[:length])
        assert not is_marked(encode_jpeg(PIXELS)[:length])
    with pytest.raises(UnsupportedMedia) as refused:
        marked(b"GIF89a")
    assert refused.value.code == "not_markable"
    for head in (encode_jpeg(PIXELS)[:5], png()[:32]):
        with pytest.raises(UnsupportedMedia):
            marked(head)


def test_a_data_set_reads_back_verified_and_its_pictures_are_marked(made):
    found = MadeData.read(made.folder)
    assert found.manifest == made.manifest
    assert [image.name for image in found.images] == ["000000.png", "000001.jpg"]
    assert all(is_marked(image.read_bytes()) for image in found.images)
    subprocess.run(["sha256sum", "--check", "--quiet", LISTING], cwd=made.folder, check=True)


def test_a_folder_without_a_manifest_is_not_whole(tmp_path):
    folder = MadeFolder(tmp_path / "set")
    folder.add("images/000000.png", png())
    with pytest.raises(Missing) as refused:
        MadeData.read(folder.path)
    assert refused.value.code == "no_manifest"
    with pytest.raises(Conflict) as refused_again:
        MadeFolder(folder.path)
    assert refused_again.value.code == "folder_not_empty"


def _break(folder, how):
    picture = folder / "images" / "7" / "000000.png"
    if how == "file_checksum":
        picture.write_bytes(picture.read_bytes()[:-1])
    elif how == "file_missing":
        picture.unlink()
    elif how == "file_unlisted":
        shutil.copy(picture, picture.with_name("000009.png"))
    elif how == "listing_checksum":
        (folder / LISTING).write_text("")
    else:
        (folder / MANIFEST).write_text(json.dumps({"format": 1}))


@pytest.mark.parametrize(
    "how",
    ["file_checksum", "file_missing", "file_unlisted", "listing_checksum", "manifest_broken"],
)
def test_what_is_not_as_it_was_written_is_refused(made, how):
    _break(made.folder, how)
    with pytest.raises((Missing, Corrupt)) as refused:
        MadeData.read(made.folder)
    assert refused.value.code == how


def test_a_synthetic_data_set_with_unmarked_pictures_is_refused(tmp_path):
    folder = MadeFolder(tmp_path / "set", synthetic=False)
    folder.add("images/000000.png", png())
    data = folder.close(about(synthetic=False))
    manifest = json.loads((data.folder / MANIFEST).read_text()) | {"synthetic": True}
    (data.folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(Corrupt) as refused:
        MadeData.read(data.folder)
    assert refused.value.code == "not_marked"


@pytest.mark.parametrize(
    "name", ["../out.png", "/etc/passwd", "a//b.png", "a/./b", "a\nb", "a\\b", LISTING, MANIFEST]
)
def test_names_that_lead_elsewhere_are_refused(tmp_path, name):
    folder = MadeFolder(tmp_path / "set")
    with pytest.raises(Malformed) as refused:
        folder.add(name, png())
    assert refused.value.code == "bad_file_name"
    assert list(tmp_path.iterdir()) == [folder.path]


def test_a_name_is_taken_once(made, tmp_path):
    folder = MadeFolder(tmp_path / "other")
    folder.add("a.txt", b"a")
    with pytest.raises(Conflict) as refused:
        folder.add("a.txt", b"b")
    assert refused.value.code == "file_twice"


def test_a_verdict_is_kept_and_metrics_add_up(made):
    made.judged(metrics={"kid": 0.02})
    gain = Verdict(outcome=Outcome.GAIN, measured_on="test", figures={"map_with": 0.5})
    MadeData.read(made.folder).judged(metrics={"accuracy": 0.9}, verdict=gain)
    found = MadeData.read(made.folder).manifest
    assert (found.metrics, found.verdict) == ({"kid": 0.02, "accuracy": 0.9}, gain)


@pytest.mark.parametrize(
    "changes", [{"epsilon": None}, {"label_policy": "hard"}, {"system": None}, {"counted": 1}]
)
def test_manifests_that_contradict_themselves_are_refused(changes):
    with pytest.raises(ValidationError):
        about(**changes)
