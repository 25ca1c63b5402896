"""Data sets of normal footage -> sources to learn from, and clips to measure the prior on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.anomaly.training.footage import recordings
from services.anomaly.training.windows import Source
from shared.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from services.anomaly.training.footage import Recording


@dataclass(frozen=True)
class Footage:
    """description: one sentence for the card, naming what was held out."""

    sources: tuple[Source, ...]
    held_out: tuple[Recording, ...]
    description: str


def gather(folders: Sequence[Path], shares: Sequence[float], held_out: float) -> Footage:
    """The Train part of every folder. shares: how often each is drawn from; none given: alike.

    held_out: share of each folder's clips that nothing is learnt from.
    Raises Malformed (`shares_mismatch`, `too_few_clips`) or Missing (`no_footage`).
    """
    if shares and len(shares) != len(folders):
        raise Malformed(
            f"{len(shares)} shares for {len(folders)} folders; give one each, or none",
            code="shares_mismatch",
        )
    sources: list[Source] = []
    spared: list[Recording] = []
    told: list[str] = []
    for folder, share in zip(folders, shares or [1.0] * len(folders), strict=True):
        learnt, kept = hold_out(recordings(folder, "Train"), held_out)
        sources.append(Source(folder.name, learnt, share))
        spared.extend(kept)
        told.append(
            f"{folder.name}/Train: {len(learnt)} clips, {sum(map(len, learnt))} frames, share"
            f" {share:g}; held out for the prior: {', '.join(clip.name for clip in kept)}."
        )
    return Footage(tuple(sources), tuple(spared), " ".join(told))


def hold_out(
    clips: Sequence[Recording], share: float
) -> tuple[tuple[Recording, ...], tuple[Recording, ...]]:
    """(to learn from, held out): whole recordings, evenly spread over the order of their names.

    Never by frame: neighbouring frames are nearly the same picture. At least one is held out.
    """
    count = max(1, round(share * len(clips)))
    if count >= len(clips):
        raise Malformed(
            f"{len(clips)} clips cannot spare {count} to measure the prior on",
            code="too_few_clips",
        )
    spared = {int((place + 0.5) * len(clips) / count) for place in range(count)}
    return (
        tuple(clip for n, clip in enumerate(clips) if n not in spared),
        tuple(clip for n, clip in enumerate(clips) if n in spared),
    )
