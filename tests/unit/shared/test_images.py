from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from shared.errors import Malformed, TooLarge, UnsupportedMedia
from shared.images import (
    ImageFormat,
    ImageInfo,
    ImageLimits,
    blacken,
    decode,
    encode_jpeg,
    inspect,
)
from shared.messages import Polygon

LIMITS = ImageLimits()


def picture(height=48, width=64) -> np.ndarray:
    """Smooth colours, so that JPEG loses little: (H, W, 3)."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 255 // height, columns * 255 // width, rows + columns], -1).astype(
        np.uint8
    )


def png(pixels, mode=None) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels, mode).save(buffer, "PNG")
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def blank_png(width: int, height: int, *extra: bytes, rows: int | None = None) -> bytes:
    """A black picture of one bit a pixel, packed without ever being held in memory."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    packer, packed = zlib.compressobj(1), []
    line = bytes(1 + (width + 7) // 8)
    packed += [packer.compress(line) for _ in range(height if rows is None else rows)]
    packed.append(packer.flush())
    chunks = (chunk(b"IHDR", header), *extra, chunk(b"IDAT", b"".join(packed)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


JPEG = encode_jpeg(picture())
PNG = png(picture())


def test_the_header_tells_format_and_size():
    assert inspect(JPEG, LIMITS) == ImageInfo(ImageFormat.JPEG, 64, 48)
    assert inspect(encode_jpeg(picture()[..., 0]), LIMITS) == ImageInfo(ImageFormat.JPEG, 64, 48)
    assert inspect(PNG, LIMITS) == ImageInfo(ImageFormat.PNG, 64, 48)


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", b"hello", b"GIF89a" + bytes(50), b"<svg/>", b"BM" + bytes(60), bytes(100)],
)
def test_what_is_no_image_is_refused(body):
    with pytest.raises(UnsupportedMedia) as refused:
        inspect(body, LIMITS)
    assert refused.value.code == "not_an_image"


@pytest.mark.parametrize("left", [4, 20, 150, len(JPEG) // 2, len(JPEG) - 30, len(JPEG) - 2])
def test_a_jpeg_that_was_cut_off_is_refused(left):
    with pytest.raises(Malformed) as refused:
        inspect(JPEG[:left], LIMITS)
    assert refused.value.code == "image_truncated"


@pytest.mark.parametrize("left", [8, 12, 20, 40, len(PNG) // 2, len(PNG) - 12])
def test_a_png_that_was_cut_off_is_refused(left):
    with pytest.raises(Malformed) as refused:
        inspect(PNG[:left], LIMITS)
    assert refused.value.code == "image_truncated"


def test_a_png_that_was_damaged_is_refused():
    damaged = bytearray(PNG)
    damaged[len(PNG) // 2] ^= 1
    with pytest.raises(Malformed):
        inspect(bytes(damaged), LIMITS)


@pytest.mark.parametrize("side", [4_000, 10_000, 30_000])
def test_a_decompression_bomb_is_refused_by_its_header(side):
    bomb = blank_png(side, side)
    assert len(bomb) < 1_000_000, "a small file"
    with pytest.raises(TooLarge) as refused:
        inspect(bomb, LIMITS)
    assert refused.value.code == "image_too_many_pixels"


def test_a_bomb_whose_header_is_hidden_behind_a_false_one_is_refused():
    bomb = blank_png(10_000, 10_000)
    magic, chunks = bomb[:8], bomb[8:]
    with pytest.raises(Malformed):
        inspect(magic + chunk(b"tEXt", struct.pack(">II", 64, 64) + bytes(5)) + chunks, LIMITS)


def test_a_bomb_in_a_comment_does_not_go_off():
    comment = chunk(b"zTXt", b"Comment\x00\x00" + zlib.compress(bytes(50_000_000), 1))
    with pytest.raises(Malformed):
        inspect(blank_png(64, 64, comment), LIMITS)


def test_more_rows_than_the_header_promised_are_left_alone():
    bloated = blank_png(64, 64, rows=200_000)
    assert inspect(bloated, LIMITS).height == 64
    assert decode(bloated, "gray").shape == (64, 64)


def test_a_jpeg_that_promises_too_many_pixels_is_refused():
    start = JPEG.index(b"\xff\xc0") + 5
    bomb = JPEG[:start] + struct.pack(">HH", 65_500, 65_500) + JPEG[start + 4 :]
    with pytest.raises(TooLarge) as refused:
        inspect(bomb, LIMITS)
    assert refused.value.code == "image_too_many_pixels"


def test_an_image_must_be_neither_too_heavy_nor_too_small():
    with pytest.raises(TooLarge) as heavy:
        inspect(JPEG, ImageLimits(max_bytes=len(JPEG) - 1))
    assert heavy.value.code == "image_too_large"
    for pixels in (picture(15, 64), picture(64, 15)):
        with pytest.raises(Malformed) as small:
            inspect(encode_jpeg(pixels), LIMITS)
        assert small.value.code == "image_too_small"
    assert inspect(encode_jpeg(picture(16, 16)), LIMITS).width == 16
    assert inspect(JPEG, ImageLimits(max_bytes=len(JPEG), max_pixels=64 * 48)).width == 64


def test_pixels_come_back_as_they_went_in():
    pixels = picture()
    assert np.array_equal(decode(PNG, "rgb"), pixels)
    assert np.abs(decode(JPEG, "rgb").astype(int) - pixels).mean() < 4
    gray = pixels[..., 0]
    assert np.array_equal(decode(png(gray), "gray"), gray)
    assert np.abs(decode(encode_jpeg(gray), "gray").astype(int) - gray).mean() < 2


def test_colour_and_gray_are_one_picture():
    weights = np.array([0.299, 0.587, 0.114])
    for body in (JPEG, PNG):
        expected = decode(body, "rgb") @ weights
        assert np.abs(decode(body, "gray") - expected).mean() < 2


@pytest.mark.parametrize("body", [JPEG, PNG, png(picture()[..., 0])], ids=["jpeg", "png", "gray"])
@pytest.mark.parametrize(("colour", "shape"), [("gray", (48, 64)), ("rgb", (48, 64, 3))])
def test_pixels_have_the_promised_shape_and_may_be_written_to(body, colour, shape):
    pixels = decode(body, colour)
    assert (pixels.shape, pixels.dtype) == (shape, np.uint8)
    pixels[:] = 0


def test_other_kinds_of_png_are_pictures_too():
    ramp = picture()[..., 0]
    deep = png((ramp.astype(np.uint16) << 8) + 17)
    assert np.array_equal(decode(deep, "gray"), ramp), "16 bits a pixel"
    alpha = np.dstack([picture(), np.full((48, 64), 7, np.uint8)])
    assert np.array_equal(decode(png(alpha), "rgb"), picture())
    buffer = io.BytesIO()
    Image.fromarray(picture()).quantize(16).save(buffer, "PNG")
    assert decode(buffer.getvalue(), "rgb").shape == (48, 64, 3)


@pytest.mark.parametrize("body", [b"", b"hello", JPEG[:100], PNG[:60], JPEG[: len(JPEG) // 2]])
@pytest.mark.parametrize("colour", ["gray", "rgb"])
def test_what_cannot_be_decoded_is_malformed(body, colour):
    with pytest.raises(Malformed):
        decode(body, colour)


def square(x0, y0, x1, y1) -> Polygon:
    return Polygon(points=((x0, y0), (x1, y0), (x1, y1), (x0, y1)))


@pytest.mark.parametrize("pixels", [picture(), picture()[..., 0]], ids=["rgb", "gray"])
def test_a_mask_hides_its_region_and_nothing_else(pixels):
    white = np.full_like(pixels, 255)
    masked = blacken(white, [square(0.25, 0.5, 0.75, 1.0)])
    assert masked[24:, 16:48].max() == 0
    assert masked[:23].min() == 255
    assert masked[:, :15].min() == 255
    assert masked[:, 50:].min() == 255
    assert white.min() == 255, "the original is kept"


def test_several_masks_hide_all_their_regions():
    white = np.full((40, 40), 255, np.uint8)
    masked = blacken(white, [square(0, 0, 0.2, 0.2), square(0.8, 0.8, 1, 1)])
    assert masked[0, 0] == masked[39, 39] == 0
    assert masked[20, 20] == 255
    assert blacken(white, [square(0, 0, 1, 1)]).max() == 0


def test_without_masks_the_pixels_are_the_same_array():
    pixels = picture()
    assert blacken(pixels, []) is pixels


def test_whatever_is_done_to_a_png_it_is_refused_by_name_or_read():
    rng = np.random.default_rng(11)
    source = png(picture())
    for _ in range(400):
        body = bytearray(source)
        position = int(rng.integers(len(body)))
        if rng.random() < 0.5:
            body[position] = rng.integers(256)
        else:
            del body[position : position + int(rng.integers(1, 20))]
        repaired = with_right_checksums(bytes(body))
        try:
            inspect(repaired, LIMITS)
            decode(repaired, "gray")
        except (Malformed, TooLarge, UnsupportedMedia):
            continue


def with_right_checksums(body: bytes) -> bytes:
    """The chunks of a damaged PNG, each with the checksum of what it now holds."""
    repaired, position = body[:8], 8
    while position + 8 <= len(body):
        length, kind = struct.unpack_from(">I4s", body, position)
        repaired += chunk(kind, body[position + 8 : position + 8 + length])
        position += 12 + length
    return repaired


def test_a_png_without_pixels_is_refused():
    header = struct.pack(">IIBBBBB", 64, 48, 8, 0, 0, 0, 0)
    body = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IEND", b"")
    with pytest.raises(Malformed) as caught:
        inspect(body, LIMITS)
    assert caught.value.code == "image_truncated"


def test_a_jpeg_of_endless_scans_is_refused_before_it_is_decoded():
    scans = JPEG[:-2] + b"\xff\xda" * (LIMITS.max_scans + 1) + b"\xff\xd9"
    with pytest.raises(TooLarge) as caught:
        inspect(scans, LIMITS)
    assert caught.value.code == "image_too_many_scans"


def test_a_picture_that_could_not_be_shown_as_a_jpeg_is_refused():
    with pytest.raises(TooLarge) as caught:
        inspect(blank_png(70_000, 16), LIMITS)
    assert caught.value.code == "image_too_long"
    assert encode_jpeg(decode(blank_png(LIMITS.max_side, 16), "gray"))
