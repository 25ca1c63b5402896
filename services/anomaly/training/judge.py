"""What scorers say of test clips -> figures. Every scorer of a table meets the same judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.anomaly.core.bootstrap import DRAWS, SEED, ThreeIntervals, auc_intervals
from services.anomaly.core.evaluation import ScoredVideo, ThreeSeparations, separations
from services.anomaly.core.localisation import (
    Localisation,
    LocatedClip,
    PatchTruth,
    localisation,
    patch_truth,
)
from services.anomaly.training.protocols import PREFIX, TestSet
from services.anomaly.training.regimes import Regime, Trace, Traces

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class JudgeSettings:
    """prefix: frames of a clip's normal prefix that are its reference, where the protocol has one.
    draws, seed: of the bootstrap."""

    prefix: int = PREFIX
    draws: int = DRAWS
    seed: int = SEED


@dataclass(frozen=True)
class Row:
    """One scorer in one regime. localisation: over the `located` clips that have pixel masks;
    None where these show no frames of both classes."""

    videos: tuple[ScoredVideo, ...]
    separations: ThreeSeparations
    intervals: ThreeIntervals
    localisation: Localisation | None
    located: int


Rows = dict[Regime, Row]


class Judge:
    """Reads each clip's masks once for every size of map."""

    def __init__(self, tests: TestSet, settings: JudgeSettings) -> None:
        self._tests = tests
        self._settings = settings
        self._truths: dict[tuple[int, int], list[PatchTruth | None]] = {}

    def rows(self, traces: Sequence[Traces]) -> Rows:
        """traces: by clip. Raises Malformed (`one_class`, `masks_mismatch`)."""
        return {regime: self._row([trace[regime] for trace in traces]) for regime in Regime}

    def _row(self, traces: Sequence[Trace]) -> Row:
        settings = self._settings
        videos = tuple(
            clip.judged(trace.errors, prefix=settings.prefix)
            for clip, trace in zip(self._tests.clips, traces, strict=True)
        )
        rows, columns = traces[0].maps.shape[1:]
        located = [
            LocatedClip(trace.maps, truth)
            for trace, truth in zip(traces, self._truth(rows, columns), strict=True)
            if truth is not None
        ]
        classes = {bool(flag) for clip in located for flag in clip.truth.abnormal_frames}
        return Row(
            videos=videos,
            separations=separations(videos),
            intervals=auc_intervals(videos, draws=settings.draws, seed=settings.seed),
            localisation=localisation(located) if len(classes) == 2 else None,
            located=len(located),
        )

    def _truth(self, rows: int, columns: int) -> list[PatchTruth | None]:
        if (rows, columns) not in self._truths:
            self._truths[rows, columns] = [
                None if masks is None else patch_truth(masks, rows=rows, columns=columns)
                for masks in (self._tests.masks(clip.recording) for clip in self._tests.clips)
            ]
        return self._truths[rows, columns]
