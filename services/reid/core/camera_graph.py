"""Who was seen where and when -> who may appear at a camera now, learnt as it happens.

Each camera pair has its own travel times: the time from a person's last sight at one to their first
at the other, negative or none where both see a person at once. Nothing is asked about a map. What
was seen too seldom to tell is taken from all pairs together, and before that from a prior under
which anybody may come from anywhere. All settings are ours.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from services.reid.core.overlap import Overlap, Stand, together

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

GAPS_S = (0.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0)
"""Edges of the travel times that are counted together; the first class is that of people who are
seen at once. Who was seen before the last edge counts as seen long ago."""

RETURNS_S = (16.0, 128.0)
"""Edges of the times after which people come back to the same camera."""

NEVER = -1

KEPT_S = 20.0
"""Of where people stood, to be compared with where others see them."""


@dataclass(frozen=True)
class GraphSettings:
    """known: chance that somebody who appears is a given person whom time and place allow, before
    anything is learnt. nobody: that it is nobody known.

    pair_weight, common_weight: appearances that what is learnt of all pairs, and what was believed
    beforehand, weigh against what was counted. supposed: who is believed to be somebody by so much
    is compared with where others see them. places: whether they are, at all.
    """

    known: float = 0.05
    nobody: float = 0.95
    pair_weight: float = 20.0
    common_weight: float = 20.0
    supposed: float = 0.1
    places: bool = True


class Whereabouts(NamedTuple):
    """Of a person, as seen from a camera at which somebody appears. came_from: cameras that saw
    them last; gap: the class of the time since; back: that of the time since this camera saw them.
    """

    came_from: tuple[str, ...]
    gap: int
    back: int


LONG_AGO = Whereabouts((), len(GAPS_S), NEVER)


@dataclass
class Count:
    """Appearances at which somebody could have come this way, and did."""

    could: float = 0.0
    did: float = 0.0

    def add(self, did: float, of: int = 1) -> None:
        self.could += of
        self.did += did

    def share(self, before: float, weight: float) -> float:
        return (self.did + weight * before) / (self.could + weight)


@dataclass(frozen=True)
class Chances:
    """Before looks are compared: that somebody who appears is a person, each of the others, or
    nobody known."""

    of: Mapping[str, float]
    others: float
    nobody: float

    def odds(self, person_id: str) -> float:
        """Of being this person against being nobody known."""
        return self.of.get(person_id, self.others) / self.nobody


@dataclass
class CameraGraph:
    """Counts appearances by the whereabouts of everybody known. Times are seconds of capture."""

    settings: GraphSettings = field(default_factory=GraphSettings)
    known: int = 0
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    _last: dict[str, dict[str, list[Stand]]] = field(default_factory=dict)
    _pairs: dict[tuple[str, str, int, int], Count] = field(default_factory=dict)
    _common: dict[tuple[int, int], Count] = field(default_factory=dict)
    _nobody: dict[str, Count] = field(default_factory=dict)
    _nobody_anywhere: Count = field(default_factory=Count)
    _overlaps: dict[tuple[str, str], Overlap] = field(default_factory=dict)

    def see(
        self, person_id: str, camera_id: str, stands: Sequence[Stand], belief: float = 1.0
    ) -> None:
        """A known person was seen, as far as that is believed."""
        # Who was seen last stands last, so that who was seen long ago is found at the front.
        of_cameras = self._last.pop(person_id, {})
        self._compare(of_cameras, camera_id, stands, belief)
        both = sorted([*of_cameras.get(camera_id, ()), *stands], key=lambda it: it.time_s)
        newest_s = both[-1].time_s
        of_cameras[camera_id] = [it for it in both if it.time_s >= newest_s - KEPT_S]
        self._last[person_id] = of_cameras
        self._let_go(newest_s)

    def chances(self, camera_id: str, start_s: float) -> Chances:
        """Of somebody who appears at a camera then."""
        of = {
            person_id: self._chance(camera_id, where)
            for person_id, where in self._whereabouts(camera_id, start_s)
        }
        return Chances(of, self._chance(camera_id, LONG_AGO), self._chance_of_nobody(camera_id))

    def placed(self, chances: Chances, camera_id: str, stands: Sequence[Stand]) -> Chances:
        """With what it says where they stand, as far as others see the same people at once."""
        of = {
            person_id: chance * self._standing(person_id, camera_id, stands)
            for person_id, chance in chances.of.items()
        }
        return Chances(of, chances.others, chances.nobody)

    def learn(self, camera_id: str, start_s: float, beliefs: Mapping[str, float]) -> None:
        """Who somebody who appeared may have been, as far as each is believed; what is left over is
        the belief that nobody knew them."""
        nobody = max(1.0 - sum(beliefs.values()), 0.0)
        recent = 0
        for person_id, where in self._whereabouts(camera_id, start_s):
            recent += 1
            self._count(camera_id, where, beliefs.get(person_id, 0.0))
        gone = sum(share for person_id, share in beliefs.items() if person_id not in self._last)
        self._of_all(LONG_AGO).add(gone, of=max(self.known - recent, 0))
        self._nobody_anywhere.add(nobody)
        self._nobody.setdefault(camera_id, Count()).add(nobody)

    def suppose(
        self, camera_id: str, stands: Sequence[Stand], beliefs: Mapping[str, float]
    ) -> None:
        """Who somebody may be who appears: enough to find out how pictures overlap."""
        for person_id, belief in beliefs.items():
            self._compare(self._last.get(person_id, {}), camera_id, stands, belief)

    @property
    def remembered(self) -> frozenset[str]:
        """Whose last ways are known."""
        return frozenset(self._last)

    def keep(self, persons: Collection[str]) -> None:
        """Of these alone. What was counted of others stays counted: it names nobody."""
        for person_id in self.remembered.difference(persons):
            del self._last[person_id]

    def travel_times(self, came_from: str, camera_id: str) -> Mapping[float, float]:
        """Arrivals that were counted, by the upper edge of their class in seconds."""
        found: dict[float, float] = {}
        for (start, end, gap, _), count in self._pairs.items():
            if (start, end) == (came_from, camera_id) and count.did > 0:
                found[GAPS_S[gap]] = found.get(GAPS_S[gap], 0.0) + count.did
        return dict(sorted(found.items()))

    def _whereabouts(self, camera_id: str, start_s: float) -> Iterator[tuple[str, Whereabouts]]:
        """Of everybody whom the graph remembers and this camera does not see at that time."""
        for person_id, seen in self._last.items():
            here = seen[camera_id][-1].time_s if camera_id in seen else None
            if here is not None and here >= start_s:
                continue
            back = NEVER if here is None else bisect_left(RETURNS_S, start_s - here)
            gaps = {
                other: _class_of(start_s - stands[-1].time_s)
                for other, stands in seen.items()
                if other != camera_id
            }
            gap = min(gaps.values(), default=NEVER)
            yield person_id, Whereabouts(tuple(it for it in gaps if gaps[it] == gap), gap, back)

    def _standing(self, person_id: str, camera_id: str, stands: Sequence[Stand]) -> float:
        """What the places say where cameras see somebody at once: the mean of their evidence, as
        much of one's error is the other's too."""
        found = []
        for other, there in self._last[person_id].items():
            overlap = self._overlaps.get((other, camera_id))
            if overlap is not None and other != camera_id:
                places = together(there, stands)
                if len(places):
                    found.append(math.log(overlap.evidence(places)))
        return math.exp(sum(found) / len(found)) if found else 1.0

    def _compare(
        self,
        seen: Mapping[str, Sequence[Stand]],
        camera_id: str,
        stands: Sequence[Stand],
        belief: float,
    ) -> None:
        if not self.settings.places or belief < self.settings.supposed:
            return
        for other, there in seen.items():
            if other != camera_id:
                self._overlap(other, camera_id).learn(together(there, stands), belief, self.rng)
                self._overlap(camera_id, other).learn(together(stands, there), belief, self.rng)

    def _overlap(self, other: str, camera_id: str) -> Overlap:
        return self._overlaps.setdefault((other, camera_id), Overlap())

    def _chance(self, camera_id: str, where: Whereabouts) -> float:
        """The best of the ways by which they may have come."""
        common = self._of_all(where).share(self.settings.known, self.settings.common_weight)
        counts = [
            self._pairs.get((start, camera_id, where.gap, where.back), Count())
            for start in where.came_from
        ]
        return max(
            (count.share(common, self.settings.pair_weight) for count in counts), default=common
        )

    def _chance_of_nobody(self, camera_id: str) -> float:
        anywhere = self._nobody_anywhere.share(self.settings.nobody, self.settings.common_weight)
        here = self._nobody.get(camera_id, Count())
        return here.share(anywhere, self.settings.pair_weight)

    def _count(self, camera_id: str, where: Whereabouts, did: float) -> None:
        self._of_all(where).add(did)
        for start in where.came_from:
            key = (start, camera_id, where.gap, where.back)
            self._pairs.setdefault(key, Count()).add(did)

    def _of_all(self, where: Whereabouts) -> Count:
        return self._common.setdefault((where.gap, where.back), Count())

    def _let_go(self, now_s: float) -> None:
        """Forgets where those were who were seen long ago; a few at a time."""
        for person_id in list(islice(self._last, 2)):
            newest_s = max(stands[-1].time_s for stands in self._last[person_id].values())
            if newest_s < now_s - GAPS_S[-1]:
                del self._last[person_id]


def _class_of(gap_s: float) -> int:
    return min(bisect_left(GAPS_S, gap_s), len(GAPS_S))
