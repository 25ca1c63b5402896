"""Boxes found in the frames of one clip -> tracks: which boxes are one person.

Association in two stages as in ByteTrack (Zhang et al., "ByteTrack: multi-object tracking by
associating every detection box", ECCV 2022): sure boxes first, then the doubtful ones to the
tracks that are left. Motion is a constant-velocity Kalman filter, as in SORT (Bewley et al., ICIP
2016), but in units of the person's own height and seconds instead of pixels and frames. That makes
its gate widen with the time between two looks: at 10 looks a second it is a fraction of a body, at
the 0.8 s of a thinned clip, in which a walker's boxes no longer overlap and IoU says nothing, it
reaches as far as a walker does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

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


DEFAULTS = TrackingSettings()


@dataclass(frozen=True)
class Step:
    """A box of a track, and when it was seen."""

    time_s: float
    box: Box


@dataclass(eq=False)
class Track:
    """One person, in order of time. number: unique within its tracker."""

    number: int
    steps: list[Step]
    motion: Motion = field(repr=False)

    @property
    def last_seen_s(self) -> float:
        return self.steps[-1].time_s


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

    def step(self, time_s: float, boxes: Iterable[Box]) -> list[tuple[Track, Box]]:
        """The track of each box that has one. Doubtful boxes that continue nothing have none.

        Raises ValueError where time does not go forward.
        """
        settings = self._settings
        self._alive = [track for track in self._alive if self._may_return(track, time_s)]
        if any(time_s <= track.last_seen_s for track in self._alive):
            raise ValueError(f"frames must be in the order of time; {time_s} s is not new")
        boxes = list(boxes)
        sure = [box for box in boxes if box.confidence >= settings.sure]
        doubtful = [box for box in boxes if settings.doubtful <= box.confidence < settings.sure]
        waiting = list(self._alive)
        found: list[tuple[Track, Box]] = []
        for candidates in (sure, doubtful):
            pairs = self._associate(waiting, candidates, time_s)
            found.extend(pairs)
            taken = {id(track) for track, _ in pairs}
            waiting = [track for track in waiting if id(track) not in taken]
        for track, box in found:
            self._extend(track, time_s, box)
        known = {id(box) for _, box in found}
        found.extend((self._begin(time_s, box), box) for box in sure if id(box) not in known)
        return found

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
        self, tracks: Sequence[Track], boxes: Sequence[Box], time_s: float
    ) -> list[tuple[Track, Box]]:
        if not tracks or not boxes:
            return []
        cost = np.stack(
            [
                distances(track.motion, boxes, time_s - track.last_seen_s, self._settings)
                for track in tracks
            ]
        )
        impossible = cost > self._settings.gate
        # A finite price keeps the assignment solvable; such pairs are dropped afterwards.
        rows, columns = linear_sum_assignment(np.where(impossible, 1e3, cost))
        return [
            (tracks[row], boxes[column])
            for row, column in zip(rows, columns, strict=True)
            if not impossible[row, column]
        ]

    def _extend(self, track: Track, time_s: float, box: Box) -> None:
        moved = track.motion.after(time_s - track.last_seen_s, self._settings)
        track.motion = moved.seeing(box, self._settings)
        track.steps.append(Step(time_s, box))

    def _begin(self, time_s: float, box: Box) -> Track:
        track = Track(len(self.tracks), [Step(time_s, box)], Motion.of(box, self._settings))
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


def track_clip(
    frames: Iterable[tuple[float, Sequence[Box]]],
    settings: TrackingSettings = DEFAULTS,
    *,
    frame_size: tuple[int, int] | None = None,
) -> list[Track]:
    """frames: (time in seconds, boxes) in the order of capture -> the clip's people."""
    tracker = Tracker(settings, frame_size=frame_size)
    for time_s, boxes in frames:
        tracker.step(time_s, boxes)
    return tracker.tracks
