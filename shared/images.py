"""JPEG or PNG bytes <-> pixels, and the checks that a foreign image must pass first."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

import numpy as np
import simplejpeg
from PIL import Image, ImageDraw, UnidentifiedImageError

from shared.errors import Malformed, TooLarge, UnsupportedMedia

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from shared.messages import Polygon

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]

JPEG_MAGIC = b"\xff\xd8\xff"
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_SCAN = b"\xff\xda"
"""Begins each scan of a JPEG; within the pixels' bytes it cannot stand (ITU T.81, B.1.1.2)."""
PNG_HEAD = struct.Struct(">12x4s2I")
"""After magic and length: the first chunk's name, width and height (PNG specification, 11.2)."""


class ImageFormat(StrEnum):
    JPEG = "jpeg"
    PNG = "png"


@dataclass(frozen=True)
class ImageInfo:
    """What an image's header says."""

    format: ImageFormat
    width: int
    height: int


@dataclass(frozen=True)
class ImageLimits:
    """Bounds on a foreign image. `max_pixels` guards against decompression bombs: a small file
    whose header promises a huge picture. `max_scans` against JPEGs that would be decoded for
    minutes: each scan passes over the whole picture, and takes fifty bytes. Usual ones have ten.
    `max_side` keeps out what could not be encoded as a JPEG again, such as a PNG of long rows."""

    max_bytes: int = 8 * 1024 * 1024
    max_pixels: int = 4096 * 2304
    max_scans: int = 64
    max_side: int = 16_384
    min_side: int = 16


def inspect(body: bytes, limits: ImageLimits) -> ImageInfo:
    """The header of an image that is whole and within limits. Nothing large is allocated before
    the header has been judged.

    Raises UnsupportedMedia (`not_an_image`), TooLarge (`image_too_large`, `image_too_many_pixels`,
    `image_too_long`, `image_too_many_scans`) or Malformed (`image_truncated`, `image_too_small`).
    """
    if len(body) > limits.max_bytes:
        raise TooLarge(
            f"the image has {len(body)} bytes; at most {limits.max_bytes} are taken",
            code="image_too_large",
        )
    info = _read_header(body)
    if info.width * info.height > limits.max_pixels:
        raise TooLarge(
            f"the image is {info.width}x{info.height}; {limits.max_pixels} pixels are the most",
            code="image_too_many_pixels",
        )
    if max(info.width, info.height) > limits.max_side:
        raise TooLarge(
            f"the image is {info.width}x{info.height}; a side has {limits.max_side} pixels at most",
            code="image_too_long",
        )
    if min(info.width, info.height) < limits.min_side:
        raise Malformed(
            f"the image is {info.width}x{info.height}; each side needs {limits.min_side} pixels",
            code="image_too_small",
        )
    if info.format is ImageFormat.JPEG and body.count(JPEG_SCAN) > limits.max_scans:
        raise TooLarge(
            f"the JPEG has over {limits.max_scans} scans, which is the most that is taken",
            code="image_too_many_scans",
        )
    _prove_whole(body, info)
    return info


def _read_header(body: bytes) -> ImageInfo:
    try:
        if body.startswith(JPEG_MAGIC):
            height, width, *_ = simplejpeg.decode_jpeg_header(body)
            return ImageInfo(ImageFormat.JPEG, width, height)
        if body.startswith(PNG_MAGIC):
            return ImageInfo(ImageFormat.PNG, *_png_size(body))
    except (ValueError, struct.error) as error:
        raise Malformed(f"the image's header is broken: {error}", code="image_truncated") from error
    raise UnsupportedMedia("the body is neither a JPEG nor a PNG", code="not_an_image")


def _png_size(body: bytes) -> tuple[int, int]:
    """By hand: Pillow warns of bombs, or raises, by bounds of its own."""
    first, width, height = PNG_HEAD.unpack_from(body)
    if first != b"IHDR":  # Pillow would take one that comes later
        raise ValueError("its first chunk is no IHDR")
    return width, height


def _prove_whole(body: bytes, info: ImageInfo) -> None:
    """A cheap pass over the whole file: a JPEG at an eighth of its size, a PNG's checksums."""
    try:
        if info.format is ImageFormat.JPEG:
            simplejpeg.decode_jpeg(
                body, colorspace="GRAY", min_height=1, min_width=1, min_factor=8, strict=True
            )
        else:
            with Image.open(io.BytesIO(body), formats=["PNG"]) as image:
                image.verify()
    except (ValueError, OSError, SyntaxError, IndexError) as error:  # the last: no pixels at all
        raise Malformed(
            f"the image is truncated or damaged: {error}", code="image_truncated"
        ) from error


def decode(body: bytes, colour: Literal["gray", "rgb"]) -> Pixels:
    """Pixels of shape (H, W) for gray or (H, W, 3) for rgb, uint8.

    Raises Malformed (`image_truncated`) where the bytes cannot be decoded.
    """
    try:
        if body.startswith(JPEG_MAGIC):
            pixels: Pixels = simplejpeg.decode_jpeg(
                body, colorspace="GRAY" if colour == "gray" else "RGB"
            )
            return pixels[..., 0] if colour == "gray" else pixels
        with Image.open(io.BytesIO(body), formats=["PNG"]) as image:
            return np.array(_eight_bits(image).convert("L" if colour == "gray" else "RGB"))
    except (ValueError, OSError, SyntaxError, UnidentifiedImageError) as error:
        raise Malformed(f"the image cannot be decoded: {error}", code="image_truncated") from error


def _eight_bits(image: Image.Image) -> Image.Image:
    """Pillow would cut 16 bits a pixel off at 255, and make the picture white."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def encode_jpeg(pixels: Pixels, quality: int = 90) -> bytes:
    """JPEG of (H, W) gray or (H, W, 3) rgb pixels."""
    gray = pixels.ndim == 2
    encoded: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(pixels[..., None] if gray else pixels),
        quality=quality,
        colorspace="GRAY" if gray else "RGB",
        colorsubsampling="Gray" if gray else "420",
    )
    return encoded


def blacken(pixels: Pixels, masks: Sequence[Polygon]) -> Pixels:
    """The pixels with every masked region set to zero (the same array where there is no mask)."""
    if not masks:
        return pixels
    height, width = pixels.shape[:2]
    hidden = stencil(masks, width, height)
    masked = pixels.copy()
    masked[hidden] = 0
    return masked


def stencil(polygons: Sequence[Polygon], width: int, height: int) -> NDArray[np.bool_]:
    """(height, width): true inside the polygons. Not to be written to."""
    return _stencil(tuple(polygons), width, height)


def _stencil(polygons: tuple[Polygon, ...], width: int, height: int) -> NDArray[np.bool_]:
    canvas = Image.new("1", (width, height))
    draw = ImageDraw.Draw(canvas)
    for polygon in polygons:
        draw.polygon([(x * width, y * height) for x, y in polygon.points], fill=1)
    return np.asarray(canvas, dtype=np.bool_)
