"""Tracklets of a clip -> whose track each continues, and which person each looks like.

Continuity comes first: at one camera a person is where they were going a moment ago. Appearance
comes second, and only for tracks that have no person yet; what time and the camera graph make
likely is weighed with it. All settings are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from services.reid.core.camera_graph import Chances, GraphSettings
from services.reid.core.tracking import Step, TrackingSettings, cheapest, costs, motion_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from services.reid.core.looks import Looks
    from services.reid.core.tracking import Floats


SAME_PERSON_SHARE = 0.05
"""Of the pairs that a gallery really judges, those of one person: about one candidate in twenty of
those whom time and place allow. Ours. Cards are calibrated for this share."""

ROUNDS = 20
"""In which beliefs that exclude each other are brought to agree."""

EVEN = Chances({}, others=SAME_PERSON_SHARE, nobody=1.0 - SAME_PERSON_SHARE)
"""Where nothing is known of time and place."""


@dataclass(frozen=True)
class IdentitySettings:
    """min_belief: an appearance is taken for a known person, rather than for nobody known, from
    here on. votes: of a person's tracklets, those most alike whose similarities are averaged.
    dressed_alike: share of people who wear what a given other one wears.

    enough_sights, enough_quality: a track is given its person as soon as so many boxes, and a crop
    of such quality, tell what they look like; it is judged as it is when it has ended. min_quality:
    a track whose best crop stays below it is nobody. sure_belief, most_sights: a track that goes on
    and is believed to be anybody, or nobody, by less is looked at until it has so many boxes.
    """

    min_belief: float = 0.5
    votes: int = 3
    dressed_alike: float = 0.02
    enough_sights: int = 4
    enough_quality: float = 0.5
    sure_belief: float = 0.7
    most_sights: int = 12
    min_quality: float = 0.15
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    graph: GraphSettings = field(default_factory=GraphSettings)


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
    seen at its camera at the same time, whom it therefore cannot be. chances: who they may be
    before anybody looks at them."""

    candidates: Sequence[Candidate]
    beside: frozenset[str] = frozenset()
    chances: Chances = EVEN


@dataclass(frozen=True)
class Verdict:
    """person_id None: nobody known. belief: that it is this person. beliefs: of all who were
    thought of."""

    person_id: str | None
    belief: float
    beliefs: Mapping[str, float] = field(default_factory=dict)


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
    """Who each stranger is, by looks, time and place. Two strangers are never one person here."""
    similarities = [_by_person(it.candidates, settings.votes) for it in strangers]
    persons = sorted({person for found in similarities for person in found})
    odds = np.zeros((len(strangers), len(persons)))
    for row, (stranger, found) in enumerate(zip(strangers, similarities, strict=True)):
        for column, person in enumerate(persons):
            if person in found and person not in stranger.beside:
                evidence = belief.evidence(found[person], settings.dressed_alike)
                odds[row, column] = evidence * stranger.chances.odds(person)
    beliefs = agreed(odds)
    rows = [
        {person: float(row[column]) for column, person in enumerate(persons) if row[column] > 0}
        for row in beliefs
    ]
    verdicts = [Verdict(None, 1.0 - sum(row.values()), row) for row in rows]
    # Between two known people the likelier one is the better answer, however unsure; against
    # being nobody known, a person must be believed.
    unknown = 1.0 - beliefs.sum(axis=1, keepdims=True)
    believed = (beliefs > 0) & (beliefs >= settings.min_belief * (beliefs + unknown))
    cost = np.where(believed, -np.log(np.maximum(odds, 1e-300)), np.inf)
    for row, column in cheapest(cost):
        verdicts[row] = Verdict(persons[column], float(beliefs[row, column]), rows[row])
    return verdicts


def agreed(odds: Floats) -> Floats:
    """odds: (strangers, persons), of each pair against a stranger whom nobody knows -> beliefs,
    where nobody is two persons and no two strangers are one.

    Belief propagation as in Williams and Lau, "Approximate evaluation of marginal association
    probabilities with belief propagation" (IEEE TAES 2014): the sum over all ways to pair them
    would be exact, and grows beyond reach.
    """
    free = np.ones_like(odds)
    for _ in range(ROUNDS):
        likely = odds * free
        claim = odds / (1.0 + likely.sum(axis=1, keepdims=True) - likely)
        free = 1.0 / (1.0 + claim.sum(axis=0, keepdims=True) - claim)
    likely = odds * free
    beliefs: Floats = likely / (1.0 + likely.sum(axis=1, keepdims=True))
    return beliefs


def _by_person(candidates: Iterable[Candidate], votes: int) -> dict[str, float]:
    """The mean of each person's best similarities: one lucky crop makes nobody somebody else."""
    of: dict[str, list[float]] = {}
    for candidate in candidates:
        of.setdefault(candidate.person_id, []).append(candidate.similarity)
    return {person: float(np.mean(sorted(found)[-votes:])) for person, found in of.items()}


@dataclass(frozen=True)
class Belief:
    """Cosine similarity -> belief that two tracklets are one person (the model card's logistic),
    where SAME_PERSON_SHARE of those who are compared are."""

    slope: float
    offset: float

    def __call__(self, similarity: float) -> float:
        return 1.0 / (1.0 + math.exp(-(self.slope * similarity + self.offset)))

    def evidence(self, similarity: float, dressed_alike: float = 0.0) -> float:
        """How many times likelier such a similarity is of one person than of two, of whom that
        share wears what the other wears: no likeness says more than one in as many."""
        before = SAME_PERSON_SHARE / (1.0 - SAME_PERSON_SHARE)
        likelier = math.exp(self.slope * similarity + self.offset) / before
        return likelier / (1.0 - dressed_alike + dressed_alike * likelier)
