"""Tracklets of a clip -> whose track each continues, and which person each looks like.

Continuity comes first: at one camera a person is where they were going a moment ago. Appearance
comes second, and only for tracks that have no person yet. All settings are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from services.reid.core.tracking import Step, TrackingSettings, cheapest, costs, motion_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from services.reid.core.looks import Looks


@dataclass(frozen=True)
class IdentitySettings:
    """min_belief: an appearance is taken for a known person from here on. votes: of a person's
    tracklets, those most alike whose similarities are averaged.

    enough_sights, enough_quality: a track is given its person as soon as so many boxes, and a crop
    of such quality, tell what they look like; it is judged as it is when it has ended. min_quality:
    a track whose best crop stays below it is nobody.
    """

    min_belief: float = 0.5
    votes: int = 3
    enough_sights: int = 4
    enough_quality: float = 0.5
    min_quality: float = 0.15
    tracking: TrackingSettings = field(default_factory=TrackingSettings)


@dataclass(frozen=True, eq=False)
class Appearance:
    """A tracklet as identity sees it: its boxes in the order of time, and its looks."""

    steps: tuple[Step, ...]
    looks: Looks


@dataclass(frozen=True)
class Candidate:
    """A tracklet of a known person. similarity: cosine."""

    person_id: str
    similarity: float


@dataclass(frozen=True)
class Stranger:
    """A track that has no person yet. candidates: the known tracklets most alike. beside: persons
    seen at its camera at the same time, whom it therefore cannot be."""

    candidates: Sequence[Candidate]
    beside: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Verdict:
    """person_id None: nobody known. belief: that it is this person."""

    person_id: str | None
    belief: float


def continued(
    trails: Sequence[Appearance], found: Sequence[Appearance], settings: IdentitySettings
) -> dict[int, int]:
    """Index of each found tracklet that continues a trail -> index of that trail.

    A trail is the last tracklet of a track at the same camera, of the clips before.
    """
    cost = np.full((len(trails), len(found)), np.inf)
    for row, trail in enumerate(trails):
        motion = motion_of(trail.steps, settings.tracking)
        last_seen_s = trail.steps[-1].time_s
        for column, tracklet in enumerate(found):
            first = replace(tracklet.steps[0], looks=tracklet.looks)
            if 0 < first.time_s - last_seen_s <= settings.tracking.max_gap_s:
                cost[row, column] = costs(
                    motion, last_seen_s, trail.looks, [first], settings.tracking
                )[0]
    return {column: row for row, column in cheapest(cost)}


def ripe(looks: Looks, sights: int, settings: IdentitySettings) -> bool:
    """Whether a track that goes on has shown enough of itself. sights: its boxes so far."""
    return sights >= settings.enough_sights and looks.quality >= settings.enough_quality


def recognised(
    strangers: Sequence[Stranger], belief: Belief, settings: IdentitySettings
) -> list[Verdict]:
    """Who each stranger is, by appearance. Two strangers are never one person here."""
    similarities = [_by_person(it.candidates, settings.votes) for it in strangers]
    persons = sorted({person for found in similarities for person in found})
    beliefs = np.zeros((len(strangers), len(persons)))
    for row, (stranger, found) in enumerate(zip(strangers, similarities, strict=True)):
        for column, person in enumerate(persons):
            if person in found and person not in stranger.beside:
                beliefs[row, column] = belief(found[person])
    verdicts = [Verdict(None, 1.0 - float(row.max(initial=0.0))) for row in beliefs]
    cost = np.where(beliefs >= settings.min_belief, 1.0 - beliefs, np.inf)
    for row, column in cheapest(cost):
        verdicts[row] = Verdict(persons[column], float(beliefs[row, column]))
    return verdicts


def _by_person(candidates: Iterable[Candidate], votes: int) -> dict[str, float]:
    """The mean of each person's best similarities: one lucky crop makes nobody somebody else."""
    of: dict[str, list[float]] = {}
    for candidate in candidates:
        of.setdefault(candidate.person_id, []).append(candidate.similarity)
    return {person: float(np.mean(sorted(found)[-votes:])) for person, found in of.items()}


@dataclass(frozen=True)
class Belief:
    """Cosine similarity -> belief that two tracklets are one person (the model card's logistic)."""

    slope: float
    offset: float

    def __call__(self, similarity: float) -> float:
        return 1.0 / (1.0 + math.exp(-(self.slope * similarity + self.offset)))
