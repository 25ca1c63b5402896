"""The codes of normal footage -> how far a code is from all of them, place by place.

Micorek et al. ("MULDE", CVPR 2024) find that a density of features tells more than an error does;
of STAE's own code no figure is published. It is measured here, beside what STAE+ is made of; the
service has none of it, for it gains nothing there (decision 24).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
from onnx.utils import Extractor
from scipy.ndimage import uniform_filter1d

from services.anomaly.core.blend import PartScale
from services.anomaly.core.clip import to_network_input
from services.anomaly.models.stae import SHRINKAGE
from services.anomaly.scorer import ClipErrors, Scorer, sight_of
from services.anomaly.training.blending import RARE, fit_mixture
from services.anomaly.training.footage import read_frame
from services.anomaly.training.scoring import window_starts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from services.anomaly.core.clip import Clip
    from services.anomaly.core.density import Mixture
    from services.anomaly.core.error_map import Maps
    from services.anomaly.core.flow import Flow
    from services.anomaly.scorer import View
    from services.anomaly.training.footage import Recording
    from services.anomaly.training.gathering import Footage
    from shared.inference import Session
    from shared.model_store import StoredModel

STEADY = 9
"""Frames over which distances are averaged, as STAE+ has it."""

KNEE = 0.25
"""As STAE+ has it."""


class Encoder:
    """A stored STAE up to its code."""

    def __init__(self, model: StoredModel) -> None:
        whole = onnx.load(model.path)
        code = next(node for node in whole.graph.node if node.op_type == "ConvTranspose").input[0]
        half = Extractor(whole).extract_model([whole.graph.input[0].name], [code])
        self._session = onnxruntime.InferenceSession(
            half.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        self._input = whole.graph.input[0].name

    def __call__(self, clip: Clip) -> NDArray[np.float32]:
        """(C, T, H, W) -> (T/8, H/8, W/8, 64)."""
        (codes,) = self._session.run(None, {self._input: clip[None]})
        return np.moveaxis(np.asarray(codes)[0], 0, -1)


@dataclass(frozen=True)
class LatentDensity:
    """encoder: of the STAE. mixture: of its codes on normal footage. scale: of the largest distance
    of a frame, on normal footage that was held out."""

    encoder: Encoder
    mixture: Mixture
    scale: PartScale

    def maps(self, clip: Clip) -> Maps:
        """(C, T, H, W) -> (T, H/8, W/8): distances, each code's for the eight frames it is of."""
        codes = self.encoder(clip)
        distances = self.mixture.distances(codes.reshape(-1, codes.shape[-1]))
        maps = np.repeat(distances.reshape(codes.shape[:-1]), SHRINKAGE, axis=0)
        steadied: Maps = uniform_filter1d(maps, STEADY, axis=0, mode="nearest")
        return steadied


def fit_latent(model: StoredModel, footage: Footage, *, seed: int) -> LatentDensity:
    """footage: as the model was trained on. Its held-out clips give the scale."""
    encoder = Encoder(model)
    learnt = [clip for source in footage.sources for clip in source.recordings]
    codes = [encoder(clip) for clip in _clips(model, learnt)]
    mixture = fit_mixture(
        np.concatenate([one.reshape(-1, one.shape[-1]) for one in codes]), seed=seed
    )
    density = LatentDensity(encoder, mixture, PartScale())
    frames = np.concatenate(
        [density.maps(clip).max(axis=(1, 2)) for clip in _clips(model, footage.held_out)]
    )
    usual, rare = np.quantile(frames, [0.5, RARE])
    return replace(density, scale=PartScale(usual=usual, range=rare - usual))


def _clips(model: StoredModel, recordings: Sequence[Recording]) -> Iterator[Clip]:
    """What the network sees of footage, window after window."""
    card = model.card
    sight = sight_of(card)
    _, _, frames, height, width = card.input.shape
    for recording in recordings:
        read = [read_frame(path, sight.decodes) for path in recording.frames]
        for start in window_starts(len(read), clip=frames, stride=frames):
            window = read[start : start + frames]
            pixels = sight.clip(sight.pictures(window), width=width, height=height)
            yield to_network_input(pixels, mean=card.input.mean[0], std=card.input.std[0])


class LatentScorer(Scorer):
    """Distances of the code, alone or as one more part of what a model's errors are.

    alone: the reconstruction's errors, and what STAE+ adds to them, count for nothing.
    """

    def __init__(
        self, model: StoredModel, session: Session, density: LatentDensity, *, alone: bool
    ) -> None:
        super().__init__(model, session)
        self._density, self._alone = density, alone

    def _judge(
        self, view: View, flow: Flow, clip: Clip, reconstruction: Clip, with_reconstruction: bool
    ) -> ClipErrors:
        found = super()._judge(view, flow, clip, reconstruction, with_reconstruction)
        watched = self._watched(view.unwatched)
        distances = self._density.maps(clip)
        if watched is not None:
            distances = distances * watched
        maps = self._density.scale.excess(distances, KNEE)
        errors = maps.max(axis=(1, 2))
        if not self._alone:
            maps, errors = maps + found.maps, errors + found.frame_errors
        return ClipErrors(frame_errors=errors, maps=maps, regions=found.regions)
