"""Boxes found in the frames of one clip -> tracks: which boxes are one person.

Association in two stages as in ByteTrack (Zhang et al., "ByteTrack: multi-object tracking by
associating every detection box", ECCV 2022): sure boxes first, then the doubtful ones to the
tracks that are left. Motion is a constant-velocity Kalman filter, as in SORT (Bewley et al., ICIP
2016), but in units of the person's own height and seconds instead of pixels and frames. That makes
its gate widen with the time between two looks: at 10 looks a second it is a fraction of a body, at
the 0.8 s of a thinned clip, in which a walker's boxes no longer overlap and IoU says nothing, it
reaches as far as a walker does. Where two could have walked to either box, their looks decide, as
in DeepSORT (Wojke et al., "Simple online and realtime tracking with a deep association metric",
ICIP 2017).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

from services.reid.core.looks import pooled

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from services.reid.core.looks import Looks
    from shared.messages import Box

    Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class TrackingSettings:
    """All ours. Lengths are in heights of the person, about 1.7 m.

    sure: boxes of at least this confidence begin tracks and are associated first. doubtful: boxes
    below it are ignored.
    walking_speed: standard deviation, per axis, of a velocity not yet seen, in heights a second; a
    pedestrian's 1.4 m/s is 0.8. acceleration: standard deviation of its change within a second.
    blur: standard deviation of a box's place. stretch: of the logarithm of its height.
    gate: squared Mahalanobis distance beyond which two boxes are two people: 99.9 % of three
    dimensions. reach: and never farther than this many heights, whatever the filter believes.
    max_gap_s: a track that was not seen for longer has ended.
    looks_weight: what a cosine lower by one adds to a squared distance. likeness: cosine below
    which two boxes are two people, wherever they are.
    """

    sure: float = 0.5
    doubtful: float = 0.1
    walking_speed: float = 0.6
    acceleration: float = 0.5
    blur: float = 0.05
    stretch: float = 0.12
    gate: float = 16.3
    reach: float = 2.0
    max_gap_s: float = 2.5
    looks_weight: float = 20.0
    likeness: float = 0.4


DEFAULTS = TrackingSettings()


@dataclass(frozen=True)
class Step:
    """A box of a track, and when it was seen. looks: None where nothing is known of them."""

    time_s: float
    box: Box
    looks: Looks | None = None


@dataclass(eq=False)
class Track:
    """One person, in order of time. number: unique within its tracker."""

    number: int
    steps: list[Step]
    motion: Motion = field(repr=False)

    @property
    def last_seen_s(self) -> float:
        return self.steps[-1].time_s

    @property
    def looks(self) -> Looks | None:
        """Of all its steps together."""
        known = [step.looks for step in self.steps if step.looks is not None]
        return pooled(known) if known else None


@dataclass(frozen=True, eq=False)
class Motion:
    """Where a person is believed to be. Both axes share one covariance.

    state: (2, 2), rows place of the feet and velocity, columns x and y; in pixels and pixels/s.
    covariance: (2, 2) of place and velocity, in heights and heights/s.
    """

    state: Floats
    covariance: Floats
    height: float

    @classmethod
    def of(cls, box: Box, settings: TrackingSettings) -> Motion:
        state = np.array([[box.x + box.width / 2, box.y + box.height], [0.0, 0.0]])
        return cls(state, np.diag([settings.blur**2, settings.walking_speed**2]), box.height)

    def after(self, elapsed_s: float, settings: TrackingSettings) -> Motion:
        """Without a new box: moved on, and less certain."""
        step = np.array([[1.0, elapsed_s], [0.0, 1.0]])
        push = np.array([elapsed_s**2 / 2, elapsed_s]) * settings.acceleration
        covariance = step @ self.covariance @ step.T + np.outer(push, push)
        return Motion(step @ self.state, covariance, self.height)

    def seeing(self, box: Box, settings: TrackingSettings) -> Motion:
        """Corrected by a box."""
        feet = np.array([box.x + box.width / 2, box.y + box.height])
        gain = self.covariance[:, 0] / (self.covariance[0, 0] + settings.blur**2)
        state = self.state + np.outer(gain, feet - self.state[0])
        covariance = self.covariance - np.outer(gain, self.covariance[0])
        return Motion(state, covariance, 0.5 * (self.height + box.height))


class Tracker:
    """Takes the frames of one camera in order; `tracks` are all that were ever begun."""

    def __init__(
        self,
        settings: TrackingSettings = DEFAULTS,
        *,
        frame_size: tuple[int, int] | None = None,
    ) -> None:
        """frame_size: width and height in pixels; who has walked out of it has gone, and whoever
        walks in where they left is somebody else."""
        self._settings = settings
        self._frame_size = frame_size
        self.tracks: list[Track] = []
        self._alive: list[Track] = []

    def step(
        self, time_s: float, boxes: Iterable[Box], looks: Sequence[Looks | None] | None = None
    ) -> list[tuple[Track, Box]]:
        """The track of each box that has one. Doubtful boxes that continue nothing have none.

        looks: of each box, in their order. Raises ValueError where time does not go forward, or
        where there are more or fewer looks than boxes.
        """
        settings = self._settings
        self._alive = [track for track in self._alive if self._may_return(track, time_s)]
        if any(time_s <= track.last_seen_s for track in self._alive):
            raise ValueError(f"frames must be in the order of time; {time_s} s is not new")
        boxes = list(boxes)
        known = [None] * len(boxes) if looks is None else looks
        steps = [Step(time_s, box, seen) for box, seen in zip(boxes, known, strict=True)]
        sure = [it for it in steps if it.box.confidence >= settings.sure]
        doubtful = [it for it in steps if settings.doubtful <= it.box.confidence < settings.sure]
        waiting = list(self._alive)
        found: list[tuple[Track, Step]] = []
        for candidates in (sure, doubtful):
            pairs = self._associate(waiting, candidates)
            found.extend(pairs)
            taken = {id(track) for track, _ in pairs}
            waiting = [track for track in waiting if id(track) not in taken]
        for track, step in found:
            self._extend(track, step)
        followed = {id(step) for _, step in found}
        found.extend((self._begin(step), step) for step in sure if id(step) not in followed)
        return [(track, step.box) for track, step in found]

    def _may_return(self, track: Track, time_s: float) -> bool:
        elapsed_s = time_s - track.last_seen_s
        if elapsed_s > self._settings.max_gap_s:
            return False
        if self._frame_size is None:
            return True
        motion = track.motion.after(elapsed_s, self._settings)
        x, foot = motion.state[0]
        width, height = self._frame_size
        return bool(0 <= x <= width and 0 <= foot - motion.height / 2 <= height)

    def _associate(
        self, tracks: Sequence[Track], steps: Sequence[Step]
    ) -> list[tuple[Track, Step]]:
        if not tracks or not steps:
            return []
        cost = np.stack(
            [
                costs(track.motion, track.last_seen_s, track.looks, steps, self._settings)
                for track in tracks
            ]
        )
        return [(tracks[row], steps[column]) for row, column in cheapest(cost)]

    def _extend(self, track: Track, step: Step) -> None:
        moved = track.motion.after(step.time_s - track.last_seen_s, self._settings)
        track.motion = moved.seeing(step.box, self._settings)
        track.steps.append(step)

    def _begin(self, step: Step) -> Track:
        track = Track(len(self.tracks), [step], Motion.of(step.box, self._settings))
        self.tracks.append(track)
        self._alive.append(track)
        return track


def motion_of(steps: Sequence[Step], settings: TrackingSettings = DEFAULTS) -> Motion:
    """Where a person with these boxes, in the order of time, is believed to be at the last."""
    motion = Motion.of(steps[0].box, settings)
    for before, step in pairwise(steps):
        motion = motion.after(step.time_s - before.time_s, settings).seeing(step.box, settings)
    return motion


def distances(
    motion: Motion, boxes: Sequence[Box], elapsed_s: float, settings: TrackingSettings = DEFAULTS
) -> Floats:
    """Squared Mahalanobis distance of each box from where the person should be after so long;
    infinite where nobody gets to."""
    moved_on = motion.after(elapsed_s, settings)
    x, y, width, height = np.array([(b.x, b.y, b.width, b.height) for b in boxes]).T
    feet = np.stack([x + width / 2, y + height], axis=1)
    size = np.sqrt(motion.height * height)
    place = ((feet - moved_on.state[0]) ** 2).sum(axis=1) / size**2
    stretch = np.log(height / motion.height) / settings.stretch
    distance: Floats = place / (moved_on.covariance[0, 0] + settings.blur**2) + stretch**2
    moved = np.hypot(*(feet - motion.state[0]).T) / size
    distance[moved > settings.reach] = np.inf
    return distance


def costs(
    motion: Motion,
    last_seen_s: float,
    looks: Looks | None,
    steps: Sequence[Step],
    settings: TrackingSettings = DEFAULTS,
) -> Floats:
    """What it costs to take each step, all of one moment, for the next of somebody who was last
    seen moving and looking like this; infinite where they cannot be one person."""
    cost = distances(motion, [step.box for step in steps], steps[0].time_s - last_seen_s, settings)
    cost[cost > settings.gate] = np.inf
    for n, step in enumerate(steps):
        if looks is None or step.looks is None:
            continue
        likeness = looks.likeness(step.looks)
        cost[n] += settings.looks_weight * (1.0 - likeness)
        if likeness < settings.likeness:
            cost[n] = np.inf
    return cost


def cheapest(cost: Floats) -> list[tuple[int, int]]:
    """The assignment of rows to columns with the lowest cost; infinite pairs are left out."""
    if not cost.size:
        return []
    possible = np.isfinite(cost)
    # A finite price keeps the assignment solvable where some row has no possible column.
    rows, columns = linear_sum_assignment(np.where(possible, cost, 1e6))
    return [
        (int(row), int(column))
        for row, column in zip(rows, columns, strict=True)
        if possible[row, column]
    ]
