"""Recordings -> training samples: T frames of the past and the T that follow, augmented; and what
the network is shown of the past, which may hold a pseudo-anomaly."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from services.anomaly.core.clip import to_network_input
from services.anomaly.training.footage import read_frame
from shared.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float
    from torch import Tensor

    from services.anomaly.core.sight import Sight
    from services.anomaly.training.augmentation import Augmentation
    from services.anomaly.training.footage import Recording
    from services.anomaly.training.pseudo import PseudoAnomalies
    from shared.images import Pixels


class Sample(NamedTuple):
    """Pixels in [0, 1]. seen: what is put into the network. past: what it should draw, the same but
    for pseudo-anomalies. future: the T frames after. A batch of samples has B before C."""

    seen: Float[Tensor, "C T H W"]
    past: Float[Tensor, "C T H W"]
    future: Float[Tensor, "C T H W"]


@dataclass(frozen=True)
class Source:
    """Footage to learn from. share: how often it is drawn from, relative to other sources."""

    name: str
    recordings: tuple[Recording, ...]
    share: float


class TrainingWindows(Dataset[Sample]):
    """Sample n is a pure function of (seed, n), so that training resumes where it stopped.

    A source is drawn by its share, a recording by the windows it holds, a start evenly. Frames
    are taken one after the other, never with gaps ("so that speed is unchanged").
    side, window: as Augmentation has them. Raises Malformed (`no_window`) where a source has no
    recording of 2 T frames.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        sight: Sight,
        frames: int,
        side: int,
        window: int,
        augmentation: Augmentation,
        pseudo_anomalies: PseudoAnomalies,
        seed: int,
    ) -> None:
        self._sight = sight
        self._frames = frames
        self._side = side
        self._window = window
        self._augmentation = augmentation
        self._pseudo_anomalies = pseudo_anomalies
        self._seed = seed
        shares = np.array([source.share for source in sources])
        self._shares = shares / shares.sum()
        self._recordings = [
            [recording for recording in source.recordings if len(recording) >= 2 * frames]
            for source in sources
        ]
        for source, usable in zip(sources, self._recordings, strict=True):
            if not usable:
                raise Malformed(
                    f"{source.name} has no clip of {2 * frames} frames, as training needs",
                    code="no_window",
                )

    def __getitem__(self, n: int) -> Sample:
        random = np.random.default_rng((self._seed, n))
        candidates = self._recordings[random.choice(len(self._shares), p=self._shares)]
        windows = np.array([len(recording) - 2 * self._frames + 1 for recording in candidates])
        recording = candidates[random.choice(len(candidates), p=windows / windows.sum())]
        start = int(random.integers(len(recording) - 2 * self._frames + 1))
        pixels = self._augmentation(
            self._pictures(recording, start),
            self._sight,
            side=self._side,
            window=self._window,
            random=random,
        )
        seen = torch.from_numpy(
            to_network_input(self._pseudo_anomalies(pixels, self._sight, random))
        )
        clip = torch.from_numpy(to_network_input(pixels))  # C 2T H W
        return Sample(seen, clip[:, : self._frames], clip[:, self._frames :])

    def _pictures(self, recording: Recording, start: int) -> Sequence[Pixels]:
        """2T of them, as serving would make them of these frames alone."""
        within = slice(start, start + 2 * self._frames)
        if self._sight.colour != "flow":
            paths = recording.frames[within]
            return self._sight.pictures([read_frame(path, self._sight.decodes) for path in paths])
        pictures = list(_flow_pictures(recording, self._sight)[within])
        pictures[0] = pictures[1]  # a clip's first frame knows nothing of the one before it
        return pictures


@lru_cache(maxsize=64)
def _flow_pictures(recording: Recording, sight: Sight) -> Sequence[Pixels]:
    """Of a whole recording: to seek flow takes longer than to learn from it."""
    return sight.pictures([read_frame(path) for path in recording.frames])


def batches(
    windows: TrainingWindows, *, first: int, count: int, batch: int, loaders: int = 1
) -> DataLoader[Sample]:
    """`count` batches, from sample `first` on.

    loaders: processes that make them beside the training one. On a CPU one is enough, for a batch
    takes milliseconds to make and seconds to learn from; a GPU eats what a dozen make. The batches
    are the same however many there are.
    """
    return DataLoader(
        windows,
        batch_size=batch,
        sampler=range(first, first + count * batch),
        num_workers=loaders,
        prefetch_factor=4,
    )
