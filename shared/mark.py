"""The mark of made images: IPTC's digital source type, in XMP, put into their bytes.

Pixels are not touched and nothing is encoded anew: the mark is a segment of a JPEG (XMP
specification, part 3, 1.1.3) or a chunk of a PNG (1.1.5). It is found in metadata alone.
"""

from __future__ import annotations

import re
import struct
import zlib
from typing import TYPE_CHECKING

from shared.errors import Malformed, UnsupportedMedia
from shared.images import JPEG_MAGIC, PNG_MAGIC

if TYPE_CHECKING:
    from collections.abc import Iterator

TRAINED_ALGORITHMIC_MEDIA = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""Made by a model that has learnt from images (IPTC NewsCodes, Digital Source Type)."""

SOUGHT = (
    TRAINED_ALGORITHMIC_MEDIA.encode(),
    b"http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia",
)
"""Also what others have marked, in XMP or in a C2PA manifest: parts of a composite are made."""

XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    f' Iptc4xmpExt:DigitalSourceType="{TRAINED_ALGORITHMIC_MEDIA}"/>'
    '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
).encode()

JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
JPEG_FIRST = 6
"""SOI, and the marker and length of the segment behind it."""

PNG_XMP = b"XML:com.adobe.xmp\0\0\0\0\0"
"""Keyword, not compressed, no language, no translated keyword."""

PNG_FIRST = len(PNG_MAGIC) + 25
"""Behind the IHDR, which comes first and has 13 bytes."""

PACKED_TEXT = re.compile(rb"zTXt[^\0]{1,79}\0\0|iTXt[^\0]{1,79}\0\x01\0[^\0]*\0[^\0]*\0")
"""What stands before text that is compressed (PNG specification, 11.3.3)."""

MOST_TEXT = 4 * 1024 * 1024
"""Bytes that the compressed texts of an image may come to; whatever is behind them is not read."""

APP1, SCAN = 0xE1, 0xDA
APPLICATION = frozenset({*range(0xE0, 0xF0), 0xFE})
"""Markers of segments that hold metadata: APP0 to APP15, and comments."""

PIXELS = b"IDAT"


def marked(body: bytes) -> bytes:
    """A JPEG or PNG -> the same one with the mark; as it is where it has one.

    Raises UnsupportedMedia (`not_markable`) for anything else.
    """
    if is_marked(body):
        return body
    if body.startswith(JPEG_MAGIC) and len(body) >= JPEG_FIRST:
        segment = JPEG_XMP + XMP
        head = struct.pack(">BBH", 0xFF, APP1, len(segment) + 2)
        place = 2 + _jfif_bytes(body)
        return body[:place] + head + segment + body[place:]
    if body.startswith(PNG_MAGIC) and len(body) >= PNG_FIRST:
        return body[:PNG_FIRST] + _chunk(b"iTXt", PNG_XMP + XMP) + body[PNG_FIRST:]
    raise UnsupportedMedia("only whole JPEG and PNG images can be marked", code="not_markable")


def is_marked(body: bytes) -> bool:
    """Whether the image says of itself that a model has made it, or parts of it."""
    if body.startswith(JPEG_MAGIC):
        texts = _jpeg_metadata(body)
    elif body.startswith(PNG_MAGIC):
        texts = _png_metadata(body)
    else:
        return False
    return any(sought in text for text in texts for sought in SOUGHT)


def refuse_marked(body: bytes) -> None:
    """Raises Malformed (`synthetic_image`) for a made image: what it shows was seen by no camera,
    so it can be nobody's sighting."""
    if is_marked(body):
        raise Malformed(
            "the image is marked as made by a model (IPTC digital source type): cameras' frames and"
            " searches for people take real images only",
            code="synthetic_image",
        )


def _jfif_bytes(body: bytes) -> int:
    """Of the APP0 segment, which JFIF wants first."""
    if body[3] != 0xE0:
        return 0
    return 2 + int.from_bytes(body[4:6], "big")


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + _crc(name + content)


def _crc(covered: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(covered))


def _jpeg_metadata(body: bytes) -> Iterator[bytes]:
    """Of the segments before the first scan (ITU T.81, B.1.1.4)."""
    place = 2
    while place + 4 <= len(body) and body[place] == 0xFF:
        marker = body[place + 1]
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        if marker == SCAN:
            return
        end = place + 2 + int.from_bytes(body[place + 2 : place + 4], "big")
        if marker in APPLICATION:
            yield body[place + 4 : end]
        place = end


def _png_metadata(body: bytes) -> Iterator[bytes]:
    """Of all chunks but the pixels': text may stand behind them."""
    place, left = len(PNG_MAGIC), MOST_TEXT
    while place + 8 <= len(body):
        end = place + 8 + int.from_bytes(body[place : place + 4], "big")
        if body[place + 4 : place + 8] != PIXELS:
            yield body[place + 8 : end]
            text = _unpacked(body[place + 4 : end], left)
            left -= len(text)
            yield text
        place = end + 4


def _unpacked(chunk: bytes, limit: int) -> bytes:
    """The text of a compressed one, up to the limit; of any other chunk, nothing."""
    packed = PACKED_TEXT.match(chunk)
    if packed is None or limit <= 0:  # zlib takes no bound of 0 for one
        return b""
    try:
        return zlib.decompressobj().decompress(chunk[packed.end() :], limit)
    except zlib.error:
        return b""
