"""RTSP, video file, image folder or webcam -> frames as JPEG or PNG, in the order of capture."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import cv2
import simplejpeg
import structlog

from shared.errors import Missing, UnsupportedMedia

if TYPE_CHECKING:
    from collections.abc import Iterator

log = structlog.get_logger(__name__)

READY_SUFFIXES = {".jpg", ".jpeg", ".png"}
"""Pushed as they are."""

IMAGE_SUFFIXES = READY_SUFFIXES | {".tif", ".tiff", ".bmp"}
JPEG_QUALITY = 92

CLIP_PAUSE_S = 10.0
"""Between the clips of a folder of folders: they are not one stretch of footage (ours)."""

FOLDER_FPS = 10.0
"""Of image folders, where nobody says (ours)."""

RECONNECT_S = (0.5, 30.0)
"""First and longest pause before a live source is opened again."""


@dataclass(frozen=True)
class SourceFrame:
    """body: JPEG or PNG. offset_s: from the source's beginning. part: clip of a folder of clips."""

    body: bytes
    offset_s: float
    part: str = ""


class Source(Protocol):
    """total: frames, where the source knows. is_live: frames come when they come."""

    name: str
    total: int | None
    duration_s: float | None
    is_live: bool

    def frames(self) -> Iterator[SourceFrame]: ...


class ImageFolder:
    """Images of a folder in the order of their names, or those of its subfolders, one clip each."""

    is_live = False

    def __init__(self, folder: Path, fps: float | None) -> None:
        """Raises Missing where there is no image."""
        self.name = folder.name
        self._fps = fps or FOLDER_FPS
        self._clips = _clips_of(folder)
        if not self._clips:
            raise Missing(f"{folder} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
        total = sum(len(images) for images in self._clips.values())
        self.total: int | None = total
        self.duration_s: float | None = total / self._fps + CLIP_PAUSE_S * (len(self._clips) - 1)

    def frames(self) -> Iterator[SourceFrame]:
        begin_s = 0.0
        for clip, images in self._clips.items():
            for n, image in enumerate(images):
                yield SourceFrame(_as_pushed(image), begin_s + n / self._fps, clip)
            begin_s += len(images) / self._fps + CLIP_PAUSE_S


class VideoFile:
    """A video file, frame by frame; its own rate unless another is asked for."""

    is_live = False

    def __init__(self, path: Path, fps: float | None) -> None:
        """Raises UnsupportedMedia for a file that is no video."""
        self.name = path.name
        self._path = path
        capture = _opened(str(path))
        self._fps = fps or capture.get(cv2.CAP_PROP_FPS) or FOLDER_FPS
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.total = count if count > 0 else None
        self.duration_s = count / self._fps if count > 0 else None
        capture.release()

    def frames(self) -> Iterator[SourceFrame]:
        for n, picture in enumerate(_pictures(str(self._path))):
            yield SourceFrame(_encoded(picture), n / self._fps)


class LiveStream:
    """An RTSP address or a webcam. When it breaks off it is opened again, with growing pauses.

    It does not wait for us: a thread reads it all the time, and only its newest frame is kept.
    """

    is_live = True
    total: int | None = None
    duration_s: float | None = None

    def __init__(self, address: str) -> None:
        self.name = address
        self._newest: queue.Queue[SourceFrame] = queue.Queue(maxsize=1)

    def frames(self) -> Iterator[SourceFrame]:
        threading.Thread(target=self._read, name="source", daemon=True).start()
        while True:
            yield self._newest.get()

    def _read(self) -> None:
        began = time.monotonic()
        pause_s = RECONNECT_S[0]
        while True:
            try:
                for picture in _pictures(self.name):
                    pause_s = RECONNECT_S[0]
                    self._keep(SourceFrame(_encoded(picture), time.monotonic() - began))
                reason = "broke off"
            except UnsupportedMedia as error:
                reason = str(error)
            log.warning("source_away", source=self.name, retry_in_s=pause_s, reason=reason)
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, RECONNECT_S[1])

    def _keep(self, frame: SourceFrame) -> None:
        with contextlib.suppress(queue.Empty):
            self._newest.get_nowait()
        self._newest.put(frame)


def open_source(address: str, fps: float | None) -> Source:
    """address: a folder of images, a video file, rtsp://..., or a webcam's number.

    Raises Missing for what is not there, UnsupportedMedia for what is no footage.
    """
    if "://" in address or address.isdigit():
        return LiveStream(address)
    path = Path(address)
    if path.is_dir():
        return ImageFolder(path, fps)
    if path.is_file():
        return VideoFile(path, fps)
    raise Missing(f"{address} is no file, folder, stream address or webcam number")


def _clips_of(folder: Path) -> dict[str, list[Path]]:
    """Clip name to its images. A clip in the folder itself has no name."""
    clips = {}
    below = sorted(path for path in folder.iterdir() if path.is_dir())
    for place in [folder, *below]:
        images = sorted(p for p in place.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        if images:
            clips["" if place == folder else place.name] = images
    return clips


def _as_pushed(image: Path) -> bytes:
    if image.suffix.lower() in READY_SUFFIXES:
        return image.read_bytes()
    picture = cv2.imread(str(image), cv2.IMREAD_COLOR)
    if picture is None:
        raise UnsupportedMedia(f"{image} cannot be read as an image")
    return _encoded(picture)


def _encoded(picture: cv2.typing.MatLike) -> bytes:
    body: bytes = simplejpeg.encode_jpeg(picture, quality=JPEG_QUALITY, colorspace="BGR")
    return body


def _pictures(address: str) -> Iterator[cv2.typing.MatLike]:
    capture = _opened(address)
    try:
        while True:
            there, picture = capture.read()
            if not there:
                return
            yield picture
    finally:
        capture.release()


def _opened(address: str) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(int(address) if address.isdigit() else address)
    if not capture.isOpened():
        raise UnsupportedMedia(f"{address} cannot be opened as video")
    return capture
