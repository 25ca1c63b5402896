"""A recording -> its errors twice: as a study would score it, and as the service does.

offline     windows overlap, a frame has the mean of all windows that cover it, a centred Gaussian
            steadies the result. It sees each frame's future; most published figures do.
as served   windows at the camera's stride, a frame has the error of the one window that owns it,
            exactly as `ClipScored` carries it. It may know the frames after it of its own window,
            which is told when it is full; what steadies it beyond the window looks back only.

A scorer that is good in the first row alone is not good for a camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from services.anomaly.core.ownership import OwnedWindow, owned_windows
from services.anomaly.core.smoothing import centred_gaussian, trailing_mean
from services.anomaly.training.scoring import refuse_short, score_at, window_starts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from services.anomaly.scorer import ClipErrors, Scorer
    from services.anomaly.training.footage import Recording


class Regime(StrEnum):
    OFFLINE = "offline"
    SERVED = "as served"


@dataclass(frozen=True, eq=False)
class Trace:
    """What a scorer says of a recording. errors: (F,). maps: (F, R, K), by patch."""

    errors: NDArray[np.float64]
    maps: NDArray[np.float64]

    def after(self, frames: int) -> Trace:
        """Without the first ones."""
        return Trace(self.errors[frames:], self.maps[frames:])


Traces = dict[Regime, Trace]


@dataclass(frozen=True)
class RegimeSettings:
    """Fixed before any test footage was scored; all lengths in frames.

    stride: between offline windows; 1 is the best that there is, and the dearest.
    served_stride: between windows as served, the gateway's CLIP_STRIDE or a camera's own `stride`;
    where a model's windows are shorter, their length, for no gateway would skip frames.
    sigma: of the offline Gaussian (AI-VAD's, for this data). memory: of the trailing exponential
    mean as served; 0, as the service has none of its own.
    """

    stride: int = 4
    served_stride: int = 16
    sigma: float = 3.0
    memory: float = 0.0

    def __str__(self) -> str:
        return (
            f"offline every {self.stride} frames, Gaussian {self.sigma:g};"
            f" as served every {self.served_stride}, memory {self.memory:g}"
        )

    def starts(self, frames: int, *, clip: int) -> list[int]:
        """First frames of all windows that either regime needs."""
        offline = window_starts(frames, clip=clip, stride=self.stride)
        served = (window.start for window in self.owned_windows(frames, clip=clip))
        return sorted({*offline, *served})

    def owned_windows(self, frames: int, *, clip: int) -> list[OwnedWindow]:
        """clip: frames of a window."""
        return owned_windows(frames, clip=clip, stride=min(self.served_stride, clip))


def model_traces(scorer: Scorer, recording: Recording, settings: RegimeSettings) -> Traces:
    """Both regimes, no window scored twice. Raises Malformed (`clip_too_short`)."""
    refuse_short(scorer, recording)
    clip, frames = scorer.frames_per_clip, len(recording)
    windows = dict(score_at(scorer, recording, settings.starts(frames, clip=clip)))
    overlapping = window_starts(frames, clip=clip, stride=settings.stride)
    offline = covering_mean({start: windows[start] for start in overlapping}, frames)
    served = owned_errors(windows, settings.owned_windows(frames, clip=clip))
    return {
        Regime.OFFLINE: _steadied(offline, settings),
        Regime.SERVED: _followed(served, settings),
    }


def frame_traces(trace: Trace, settings: RegimeSettings) -> Traces:
    """Both regimes of a scorer that needs no windows: they differ in what steadies them."""
    return {
        Regime.OFFLINE: _steadied(trace, settings),
        Regime.SERVED: _followed(trace, settings),
    }


def covering_mean(windows: Mapping[int, ClipErrors], frames: int) -> Trace:
    """windows: by their first frame; together they cover all frames."""
    some = next(iter(windows.values()))
    errors, maps = np.zeros(frames), np.zeros((frames, *some.maps.shape[1:]))
    covering = np.zeros(frames)
    for start, window in windows.items():
        covered = slice(start, start + len(window.frame_errors))
        errors[covered] += window.frame_errors
        maps[covered] += window.maps
        covering[covered] += 1
    return Trace(errors / covering, maps / covering[:, None, None])


def owned_errors(windows: Mapping[int, ClipErrors], owned: Sequence[OwnedWindow]) -> Trace:
    """windows: by their first frame. owned: which of them, in order."""
    errors = [windows[start].frame_errors[owned_from:] for start, owned_from in owned]
    maps = [windows[start].maps[owned_from:] for start, owned_from in owned]
    return Trace(np.concatenate(errors).astype(np.float64), np.concatenate(maps).astype(np.float64))


def _steadied(trace: Trace, settings: RegimeSettings) -> Trace:
    return Trace(
        centred_gaussian(trace.errors, sigma=settings.sigma),
        centred_gaussian(trace.maps, sigma=settings.sigma),
    )


def _followed(trace: Trace, settings: RegimeSettings) -> Trace:
    return Trace(
        trailing_mean(trace.errors, memory=settings.memory),
        trailing_mean(trace.maps, memory=settings.memory),
    )
