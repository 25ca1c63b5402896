"""Frames of a clip -> STAE -> error per frame, error maps, abnormal regions.

No torch: the network is a session over the stored ONNX file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, PositiveInt

from services.anomaly.core.clip import Clip, GrayClip, to_network_input
from services.anomaly.core.error_map import frame_errors, patch_errors, smooth
from services.anomaly.core.regions import abnormal_regions
from shared.errors import Corrupt, Malformed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.anomaly.core.error_map import FrameErrors, Maps
    from shared.images import Pixels
    from shared.inference import Session
    from shared.messages import Box
    from shared.model_store import ModelCard, StoredModel


class MapSmoothing(BaseModel):
    """Side of the box, in patches and in frames, over which a model's maps are averaged.

    A card keeps it in its settings, as `map_smoothing`: the prior was measured with it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    patches: PositiveInt = 1
    frames: PositiveInt = 1


@dataclass(frozen=True, eq=False)
class ClipErrors:
    """What one clip's frames look like to the model.

    frame_errors: (T,) in squared pixel value, pixels in [0, 1]. maps: (T, R, K), the same per
    patch. regions: per frame, boxes in pixels of that frame as it came in. reconstruction:
    (T, H, W) gray pixels in [0, 1], where it was asked for.
    """

    frame_errors: FrameErrors
    maps: Maps
    regions: tuple[tuple[Box, ...], ...]
    reconstruction: np.ndarray[tuple[int, int, int], np.dtype[np.float32]] | None = None


class Scorer:
    """Scores clips with one model. Stateless: any thread may call it, on any camera's clip."""

    def __init__(self, model: StoredModel, session: Session) -> None:
        card = model.card
        if card.anomaly is None:
            raise Corrupt(f"model {card.name} has no anomaly prior", code="model_card")
        self._session = session
        self.prior = card.anomaly
        self._mean, self._std = card.input.mean[0], card.input.std[0]
        self._smoothing = map_smoothing(card)
        _, _, self.frames_per_clip, self.height, self.width = card.input.shape

    def score(self, frames: Sequence[Pixels], *, with_reconstruction: bool = False) -> ClipErrors:
        """frames: as many as the model takes, gray (H, W) or rgb (H, W, 3) of any size.

        Each frame is resized for itself, so a camera may change its resolution within a clip.
        Raises Malformed (`clip_too_short`, `clip_too_long`) for any other number of frames.
        """
        return self.score_batch([frames], with_reconstruction=with_reconstruction)[0]

    def score_batch(
        self, clips: Sequence[Sequence[Pixels]], *, with_reconstruction: bool = False
    ) -> list[ClipErrors]:
        """One forward pass for several clips (worth it on a GPU; on a CPU it gains nothing)."""
        batch = np.stack([self._prepare(frames) for frames in clips])
        (reconstructions,) = self._session(batch)
        return [
            self._judge(frames, clip, reconstruction, with_reconstruction)
            for frames, clip, reconstruction in zip(clips, batch, reconstructions, strict=True)
        ]

    def _prepare(self, frames: Sequence[Pixels]) -> Clip:
        if len(frames) != self.frames_per_clip:
            too_short = len(frames) < self.frames_per_clip
            raise Malformed(
                f"a clip of {len(frames)} frames; the model takes {self.frames_per_clip}",
                code="clip_too_short" if too_short else "clip_too_long",
            )
        gray = gray_clip(frames, width=self.width, height=self.height)
        return to_network_input(gray, mean=self._mean, std=self._std)

    def _judge(
        self, frames: Sequence[Pixels], clip: Clip, reconstruction: Clip, with_reconstruction: bool
    ) -> ClipErrors:
        maps = patch_errors(clip, reconstruction, patch=self.prior.patch)
        maps *= self._std**2  # back to pixels in [0, 1]
        maps = smooth(maps, patches=self._smoothing.patches, frames=self._smoothing.frames)
        regions = tuple(
            abnormal_regions(
                error_map,
                threshold=self.prior.patch_q999,
                width=frame.shape[1],
                height=frame.shape[0],
            )
            for error_map, frame in zip(maps, frames, strict=True)
        )
        return ClipErrors(
            frame_errors=frame_errors(maps, self.prior.score),
            maps=maps,
            regions=regions,
            reconstruction=reconstruction[0] * self._std + self._mean
            if with_reconstruction
            else None,
        )


def map_smoothing(card: ModelCard) -> MapSmoothing:
    """The smoothing that a card asks for (none where it says nothing)."""
    return MapSmoothing.model_validate(card.settings.get("map_smoothing", {}))


def gray_clip(frames: Sequence[Pixels], *, width: int, height: int) -> GrayClip:
    """Frames as a model sees them, (T, height, width): training and serving both come through
    here, so that a model meets the same pixels in both."""
    clip = np.empty((len(frames), height, width), dtype=np.uint8)
    for position, frame in enumerate(frames):
        shrunk = _roughly_shrunk(_gray(frame), width, height)
        clip[position] = cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_AREA)
    return clip


def _gray(frame: Pixels) -> Pixels:
    if frame.ndim == 2:
        return frame
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def _roughly_shrunk(gray: Pixels, width: int, height: int) -> Pixels:
    """A large frame by a whole factor, to no less than 1.5 times the size that is wanted: averaging
    whole blocks is several times as fast as averaging at any other ratio."""
    factor = min(2 * gray.shape[0] // (3 * height), 2 * gray.shape[1] // (3 * width))
    if factor < 2:
        return gray
    rows, columns = gray.shape[0] // factor, gray.shape[1] // factor
    blocks = gray[: rows * factor, : columns * factor]
    return np.asarray(cv2.resize(blocks, (columns, rows), interpolation=cv2.INTER_AREA))
