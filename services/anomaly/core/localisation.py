"""Error maps and the true pixels of anomalies -> whether errors stand where the anomalies are.

Mahadevan, Li, Bhalodia and Vasconcelos (Anomaly Detection in Crowded Scenes, CVPR 2010): at a
threshold on the map, an abnormal frame is a hit when at least 40 % of its truly abnormal pixels are
detected, a normal frame is a false positive when any of its pixels is.

A pixel has the error of the patch that it lies in (the nearest, where patch and pixel edges do not
meet): that is what the service draws boxes from. So pixels need never be laid out; a patch
counts as often as it has pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.anomaly.core.evaluation import Roc, roc, weighted_roc
from shared.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

OVERLAP = 0.4
"""Share of a frame's truly abnormal pixels that makes a hit (the paper's)."""


@dataclass(frozen=True, eq=False)
class PatchTruth:
    """What a clip's masks say of its patches. abnormal: (F, R, K), truly abnormal pixels of each
    patch of each frame. pixels: (R, K), all pixels of each patch."""

    abnormal: NDArray[np.int64]
    pixels: NDArray[np.int64]

    @property
    def abnormal_frames(self) -> NDArray[np.bool_]:
        """(F,): with any abnormal pixel."""
        return np.asarray(self.abnormal.any(axis=(1, 2)), dtype=np.bool_)


@dataclass(frozen=True, eq=False)
class LocatedClip:
    """maps: (F, R, K) errors of patches, with what is true of them."""

    maps: NDArray[np.floating]
    truth: PatchTruth


@dataclass(frozen=True)
class Localisation:
    """pixel_auc: each pixel of each frame for itself. auc, eer: of frames, by the 40 % rule."""

    pixel_auc: float
    auc: float
    eer: float


def patch_truth(masks: NDArray[np.bool_], *, rows: int, columns: int) -> PatchTruth:
    """masks: (F, H, W), True where a pixel is abnormal. rows, columns: of the error maps."""
    height, width = masks.shape[1:]
    down, across = _nearest(height, rows), _nearest(width, columns)
    abnormal = np.stack([down @ mask.astype(np.float32) @ across.T for mask in masks])
    pixels = np.outer(down.sum(axis=1), across.sum(axis=1))
    return PatchTruth(abnormal.round().astype(np.int64), pixels.round().astype(np.int64))


def localisation(clips: Sequence[LocatedClip]) -> Localisation:
    """Over all clips pooled. Raises Malformed (`one_class`) where all frames are of one class."""
    frames = localisation_roc(clips)
    return Localisation(pixel_roc(clips).auc, frames.auc, frames.eer)


def pixel_roc(clips: Sequence[LocatedClip]) -> Roc:
    """The curve over all pixels of all frames. Raises Malformed (`one_class`)."""
    _check(clips)
    abnormal = [clip.truth.abnormal.ravel() for clip in clips]
    normal = [(clip.truth.pixels - clip.truth.abnormal).ravel() for clip in clips]
    errors = np.concatenate([clip.maps.ravel() for clip in clips])
    return weighted_roc(errors, np.concatenate(abnormal), np.concatenate(normal))


def localisation_roc(clips: Sequence[LocatedClip]) -> Roc:
    """Hits among abnormal frames over false positives among normal ones, at every threshold.

    Each frame has one threshold up to which it is detected, so it is a ROC curve over frames like
    any other. Raises Malformed (`one_class`).
    """
    _check(clips)
    detected_up_to = [
        covering_error(error_map, abnormal)
        for clip in clips
        for error_map, abnormal in zip(clip.maps, clip.truth.abnormal, strict=True)
    ]
    abnormal_frames = np.concatenate([clip.truth.abnormal_frames for clip in clips])
    return roc(np.array(detected_up_to), abnormal_frames)


def covering_error(error_map: NDArray[np.floating], abnormal: NDArray[np.int64]) -> float:
    """The largest threshold at which a frame is detected: an abnormal one by OVERLAP of its
    abnormal pixels, a normal one by its worst patch.

    error_map, abnormal: (R, K), errors and counts of abnormal pixels.
    """
    if not abnormal.any():
        return float(error_map.max())
    order = np.argsort(-error_map.ravel(), kind="stable")
    covered = np.cumsum(abnormal.ravel()[order])
    enough = int(np.argmax(covered >= OVERLAP * covered[-1]))
    return float(error_map.ravel()[order[enough]])


def _check(clips: Sequence[LocatedClip]) -> None:
    for clip in clips:
        if clip.maps.shape != clip.truth.abnormal.shape:
            raise Malformed(
                f"maps of {clip.maps.shape} patches, truth of {clip.truth.abnormal.shape}",
                code="masks_mismatch",
            )


def _nearest(pixels: int, patches: int) -> NDArray[np.float32]:
    """(patches, pixels): 1 where a pixel's centre lies in a patch."""
    patch_of = ((np.arange(pixels) + 0.5) * patches / pixels).astype(np.int64)
    return np.asarray(np.arange(patches)[:, None] == patch_of, dtype=np.float32)
