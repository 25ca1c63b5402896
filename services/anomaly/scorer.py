"""Frames of a clip -> STAE -> error per frame, error maps, abnormal regions.

No torch: the network is a session over the stored ONNX file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np

from services.anomaly.core.blend import Blend
from services.anomaly.core.clip import Clip, to_network_input
from services.anomaly.core.error_map import (
    Reading,
    frame_errors,
    moving_part,
    patch_errors,
    smooth,
)
from services.anomaly.core.flow import Flow
from services.anomaly.core.regions import abnormal_regions
from services.anomaly.core.sight import Sight
from shared.clock import SECOND_US
from shared.errors import Corrupt, Malformed
from shared.images import stencil

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from services.anomaly.core.error_map import FrameErrors, Maps
    from shared.images import Pixels
    from shared.inference import Session
    from shared.messages import Box, Polygon
    from shared.model_store import ModelCard, StoredModel

Watched = np.ndarray[tuple[int, int], np.dtype[np.float32]]
"""R x K: 1 where a patch counts, 0 where nothing does."""

NOT_FINITE = "score_not_finite"
"""Why a clip has no score though its frames could be read."""


@dataclass(frozen=True, eq=False)
class View:
    """A camera's clip. frames: gray (H, W) or rgb (H, W, 3), of any size. unwatched: regions in
    which nothing counts. captured_us: of each frame, for scorers that judge speed; none: as fast as
    the footage that the model learnt from."""

    frames: Sequence[Pixels]
    unwatched: tuple[Polygon, ...] = ()
    captured_us: tuple[int, ...] = ()

    @property
    def intervals_s(self) -> NDArray[np.float64] | None:
        """From each frame to the next."""
        return np.diff(self.captured_us) / SECOND_US if self.captured_us else None


@dataclass(frozen=True, eq=False)
class ClipErrors:
    """What one clip's frames look like to the model.

    frame_errors: (T,) in squared pixel value, pixels in [0, 1]. maps: (T, R, K), the same per
    patch. regions: per frame, boxes in pixels of that frame as it came in. reconstruction:
    (T, H, W) in [0, 1], as `Sight.shown` has it, where it was asked for. parts: per frame, by name,
    what adds up to its error; empty for a scorer whose error is one thing.
    """

    frame_errors: FrameErrors
    maps: Maps
    regions: tuple[tuple[Box, ...], ...]
    reconstruction: np.ndarray[tuple[int, int, int], np.dtype[np.float32]] | None = None
    parts: tuple[dict[str, float], ...] = ()

    @property
    def is_finite(self) -> bool:
        """Whether these are numbers at all: a network may overflow on pixels that are fine."""
        return bool(np.isfinite(self.frame_errors).all() and np.isfinite(self.maps).all())


class Scorer:
    """Scores clips with one model. Stateless: any thread may call it, on any camera's clip."""

    def __init__(self, model: StoredModel, session: Session) -> None:
        card = model.card
        if card.anomaly is None:
            raise Corrupt(f"model {card.name} has no anomaly prior", code="model_card")
        self._session = session
        self.prior = card.anomaly
        self._mean, self._std = card.input.mean[0], card.input.std[0]
        self._reading = reading_of(card)
        self._blend = blend_of(card)
        self._sight = sight_of(card)
        _, _, self.frames_per_clip, self.height, self.width = card.input.shape

    @property
    def decodes(self) -> Literal["gray", "rgb"]:
        """What frames should be decoded to: colours where the network sees them."""
        return self._sight.decodes

    def score(
        self,
        frames: Sequence[Pixels],
        unwatched: tuple[Polygon, ...] = (),
        *,
        with_reconstruction: bool = False,
    ) -> ClipErrors:
        """frames: as many as the model takes.

        Each frame is resized for itself, so a camera may change its resolution within a clip.
        Raises Malformed (`clip_too_short`, `clip_too_long`) for any other number of frames.
        """
        view = View(frames, unwatched)
        return self.score_batch([view], with_reconstruction=with_reconstruction)[0]

    def score_batch(
        self, views: Sequence[View], *, with_reconstruction: bool = False
    ) -> list[ClipErrors]:
        """One forward pass for several clips (worth it on a GPU; on a CPU it gains nothing)."""
        channels = self._sight.channels
        shape = (len(views), channels, self.frames_per_clip, self.height, self.width)
        batch = np.empty(shape, dtype=np.float32)
        flows = [Flow(view.frames, view.intervals_s) for view in views]
        for clip, view, flow in zip(batch, views, flows, strict=True):
            self._prepare(view, flow, clip)
        (reconstructions,) = self._session(batch)
        return [
            self._judge(view, flow, clip, reconstruction, with_reconstruction)
            for view, flow, clip, reconstruction in zip(
                views, flows, batch, reconstructions, strict=True
            )
        ]

    def _prepare(self, view: View, flow: Flow, into: Clip) -> None:
        if (found := len(view.frames)) != self.frames_per_clip:
            too_short = found < self.frames_per_clip
            raise Malformed(
                f"a clip of {found} frames; the model takes {self.frames_per_clip}",
                code="clip_too_short" if too_short else "clip_too_long",
            )
        pictures = self._sight.pictures(view.frames, flow)
        pixels = self._sight.clip(pictures, width=self.width, height=self.height)
        to_network_input(pixels, mean=self._mean, std=self._std, out=into)

    def _judge(
        self, view: View, flow: Flow, clip: Clip, reconstruction: Clip, with_reconstruction: bool
    ) -> ClipErrors:
        watched = self._watched(view.unwatched)
        maps = self._maps(clip, reconstruction, watched)
        errors = frame_errors(maps, self.prior.score, self._reading)
        parts: tuple[dict[str, float], ...] = ()
        if self._blend is not None:
            motion = self._motion(self._blend, flow, watched)
            by_name = self._blend.parts(errors, motion)
            errors = np.sum(list(by_name.values()), axis=0)
            maps = self._blend.maps(maps, motion)
            parts = tuple(
                dict(zip(by_name, map(float, values), strict=True))
                for values in zip(*by_name.values(), strict=True)
            )
        return ClipErrors(
            frame_errors=errors,
            maps=maps,
            regions=tuple(map(self._regions, maps, view.frames)),
            reconstruction=self._sight.shown(reconstruction * self._std + self._mean)
            if with_reconstruction
            else None,
            parts=parts,
        )

    def _regions(self, error_map: NDArray[np.float32], frame: Pixels) -> tuple[Box, ...]:
        height, width = frame.shape[:2]
        threshold = self.prior.patch_q999
        return abnormal_regions(error_map, threshold=threshold, width=width, height=height)

    def _maps(self, clip: Clip, reconstruction: Clip, watched: Watched | None) -> Maps:
        if self._reading.moving:
            clip, reconstruction = moving_part(clip), moving_part(reconstruction)
        maps = patch_errors(clip, reconstruction, patch=self.prior.patch)
        maps *= self._std**2  # back to pixels in [0, 1]
        if watched is not None:
            maps *= watched
        return smooth(maps, patches=self._reading.patches, frames=self._reading.frames)

    def _motion(self, blend: Blend, flow: Flow, watched: Watched | None) -> Maps:
        rows, columns = self.height // self.prior.patch, self.width // self.prior.patch
        maps = blend.unusual_motion(flow, rows, columns)
        return maps if watched is None else maps * watched

    def _watched(self, unwatched: Sequence[Polygon]) -> Watched | None:
        """(R, K), 1 where a patch counts. One is left out where most of it is: half a pixel of road
        silences no walkway."""
        if not unwatched:
            return None
        hidden = stencil(unwatched, self.width, self.height).astype(np.float32)
        rows, columns = self.height // self.prior.patch, self.width // self.prior.patch
        shares = cv2.resize(hidden, (columns, rows), interpolation=cv2.INTER_AREA)
        return (np.asarray(shares) <= 0.5).astype(np.float32)


def reading_of(card: ModelCard) -> Reading:
    """How a card wants its model's errors read (as the paper does, where it says nothing)."""
    return Reading.model_validate(card.settings.get("reading", {}))


def sight_of(card: ModelCard) -> Sight:
    """What a card's network sees of the frames."""
    return Sight.model_validate(card.settings.get("sight", {}))


def blend_of(card: ModelCard) -> Blend | None:
    """What a card adds to the reconstruction's errors; None for a scorer that is STAE alone."""
    blend = card.settings.get("blend")
    return None if blend is None else Blend.model_validate(blend)
