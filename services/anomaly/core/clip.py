"""Frames of any size -> a clip of one size -> the array that the network takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.images import Pixels

GrayClip = np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]
"""T frames of H x W pixels."""

PixelClip = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
"""T x H x W, or T x H x W x C."""

Clip = np.ndarray[tuple[int, int, int, int], np.dtype[np.float32]]
"""C x T x H x W, as one element of the network's batch."""

WHITE = 255.0


def gray_clip(frames: Sequence[Pixels], *, width: int, height: int) -> GrayClip:
    """Frames as a model sees them, (T, height, width): training and serving both come through
    here, so that a model meets the same pixels in both."""
    clip = resized([gray(frame) for frame in frames], width=width, height=height)
    return clip.reshape(len(frames), height, width)


def resized(frames: Sequence[Pixels], *, width: int, height: int) -> PixelClip:
    """Frames of as many channels each, (H, W) or (H, W, C) -> (T, height, width) or with C last."""
    clip = np.empty((len(frames), height, width, *frames[0].shape[2:]), dtype=np.uint8)
    for position, frame in enumerate(frames):
        shrunk = _roughly_shrunk(frame, width, height)
        clip[position] = cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_AREA)
    return clip


def to_network_input(
    frames: PixelClip, *, mean: float = 0.0, std: float = 1.0, out: Clip | None = None
) -> Clip:
    """(T, H, W) or (T, H, W, C) -> (C, T, H, W) float32, each pixel as (pixel / 255 - mean) / std.

    out: where the clip is written to, such as its place in a batch; a new array if None.
    """
    channels = frames[None] if frames.ndim == 3 else np.moveaxis(frames, -1, 0)
    # In one pass and in place: a clip is a megabyte, and this runs for every one of them.
    scale = np.float32(1.0 / (WHITE * std))
    clip: Clip = np.multiply(channels, scale, dtype=np.float32, order="C", out=out)
    if mean:
        clip -= mean / std
    return clip


def gray(frame: Pixels) -> Pixels:
    """(H, W) or RGB (H, W, 3) -> (H, W)."""
    if frame.ndim == 2:
        return frame
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def rgb(frame: Pixels) -> Pixels:
    """(H, W) or RGB (H, W, 3) -> (H, W, 3)."""
    if frame.ndim == 3:
        return frame
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_GRAY2RGB), dtype=np.uint8)


def _roughly_shrunk(frame: Pixels, width: int, height: int) -> Pixels:
    """A large frame by a whole factor, to no less than 1.5 times the size that is wanted: averaging
    whole blocks is several times as fast as averaging at any other ratio."""
    factor = min(2 * frame.shape[0] // (3 * height), 2 * frame.shape[1] // (3 * width))
    if factor < 2:
        return frame
    rows, columns = frame.shape[0] // factor, frame.shape[1] // factor
    blocks = frame[: rows * factor, : columns * factor]
    return np.asarray(cv2.resize(blocks, (columns, rows), interpolation=cv2.INTER_AREA))
