"""What the system said of a simulated city, and what was true -> figures."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from services.synthetic.city.truth import AnomalyInterval

MATCH_IOU = 0.5
COUNTED_FRACTION = 0.3
"""People of whom less is visible are neither missed when they are not found, nor false when they
are (ours)."""

SLACK_S = 1.0
"""An alert may begin so long after an anomaly has left the picture (ours)."""


class Rectangle(NamedTuple):
    x: float
    y: float
    width: float
    height: float


class TruePerson(NamedTuple):
    person_id: int
    box: Rectangle
    visible_fraction: float


class SeenPerson(NamedTuple):
    person_id: str
    box: Rectangle


Look = tuple[str, float]
"""A camera and a time in seconds of the city: a frame at which people were looked for."""


def looked_at(analysed: Sequence[float], seen: Collection[float], *, every: int) -> list[float]:
    """Which analysed frames of a camera were searched for people, by their times.

    Where somebody was seen, there was a look; before, between and after, every so manieth frame is
    one. That is so in any clip, but a clip that was cut short, as when footage comes slower than
    its clock, begins the count anew.
    """
    known = [place for place, time_s in enumerate(analysed) if time_s in seen] or [0]
    places = set(range(known[0], -1, -every))
    for place, following in zip(known, [*known[1:], len(analysed)], strict=True):
        places.update(range(place, following, every))
    return [analysed[place] for place in sorted(places) if place < len(analysed)]


@dataclass(frozen=True)
class RaisedAlert:
    """start_s, end_s: of the camera's time, in seconds of the city; opened_s: of the server's."""

    camera_id: str
    start_s: float
    end_s: float
    opened_s: float


@dataclass(frozen=True)
class AlertFigures:
    """delay_s: from the first abnormal frame to the alert, per anomaly that was found."""

    raised: int
    true: int
    anomalies: int
    found: int
    delays_s: tuple[float, ...]

    @property
    def precision(self) -> float:
        return self.true / self.raised if self.raised else 0.0

    @property
    def recall(self) -> float:
        return self.found / self.anomalies if self.anomalies else 0.0

    @property
    def mean_delay_s(self) -> float | None:
        return sum(self.delays_s) / len(self.delays_s) if self.delays_s else None


@dataclass(frozen=True)
class TrajectoryFigures:
    """crossings: persons that were seen by two cameras or more and were the same at each."""

    idf1: float
    switches: int
    recall: float
    precision: float
    looks: int
    people: int
    crossings: int


def judge_alerts(
    alerts: Sequence[RaisedAlert], anomalies: Sequence[AnomalyInterval], until_s: float
) -> AlertFigures:
    """An alert is true if an anomaly was in its camera's picture meanwhile. until_s: anomalies that
    began later have had no time to be found."""
    due = [anomaly for anomaly in anomalies if anomaly.start_s <= until_s]
    delays, found, true = [], 0, set()
    for anomaly in due:
        matching = [
            (n, alert)
            for n, alert in enumerate(alerts)
            if alert.camera_id == anomaly.camera_id
            and alert.start_s <= anomaly.end_s + SLACK_S
            and alert.end_s >= anomaly.start_s
        ]
        true |= {n for n, _ in matching}
        if matching:
            found += 1
            delays.append(min(alert.opened_s for _, alert in matching) - anomaly.start_s)
    return AlertFigures(len(alerts), len(true), len(due), found, tuple(delays))


def judge_trajectories(
    looks: Iterable[Look],
    truth: Mapping[Look, Sequence[TruePerson]],
    seen: Mapping[Look, Sequence[SeenPerson]],
) -> TrajectoryFigures:
    """IDF1 and identity switches over all cameras at once, by `motmetrics`."""
    import motmetrics

    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    votes: dict[str, dict[str, Counter[int]]] = defaultdict(lambda: defaultdict(Counter))
    numbers: dict[str, int] = {}
    people: set[int] = set()
    ordered = sorted(looks, key=lambda look: (look[1], look[0]))
    for look in ordered:
        counted = [p for p in truth.get(look, ()) if p.visible_fraction >= COUNTED_FRACTION]
        hidden = [p for p in truth.get(look, ()) if p.visible_fraction < COUNTED_FRACTION]
        found = [p for p in seen.get(look, ()) if not _is_hidden(p.box, counted, hidden)]
        people |= {person.person_id for person in counted}
        distances = _distances([p.box for p in counted], [p.box for p in found])
        # It keeps ids as numbers.
        hypotheses = [numbers.setdefault(p.person_id, len(numbers)) for p in found]
        accumulator.update([p.person_id for p in counted], hypotheses, distances)
        for row, column in np.argwhere(np.isfinite(distances)):
            votes[found[column].person_id][look[0]][counted[row].person_id] += 1
    metrics = motmetrics.metrics.create().compute(
        accumulator, metrics=["idf1", "num_switches", "recall", "precision"], return_dataframe=False
    )
    return TrajectoryFigures(
        idf1=float(np.nan_to_num(metrics["idf1"])),
        switches=int(metrics["num_switches"]),
        recall=float(np.nan_to_num(metrics["recall"])),
        precision=float(np.nan_to_num(metrics["precision"])),
        looks=len(ordered),
        people=len(people),
        crossings=sum(_is_true_crossing(by_camera) for by_camera in votes.values()),
    )


def _is_true_crossing(by_camera: Mapping[str, Counter[int]]) -> bool:
    """Whether two cameras agree with the truth on who a person is."""
    owners = [votes.most_common(1)[0][0] for votes in by_camera.values()]
    return max(Counter(owners).values()) >= 2


def _is_hidden(box: Rectangle, counted: Sequence[TruePerson], hidden: Sequence[TruePerson]) -> bool:
    """Whether a box shows somebody who does not count, and nobody who does."""
    if any(iou(box, person.box) >= MATCH_IOU for person in counted):
        return False
    return any(iou(box, person.box) >= MATCH_IOU for person in hidden)


def _distances(
    truth: Sequence[Rectangle], found: Sequence[Rectangle]
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """1 - IoU; NaN where two boxes cannot be the same person."""
    distances = np.full((len(truth), len(found)), np.nan)
    for row, true_box in enumerate(truth):
        for column, box in enumerate(found):
            if (overlap := iou(true_box, box)) >= MATCH_IOU:
                distances[row, column] = 1.0 - overlap
    return distances


def iou(a: Rectangle, b: Rectangle) -> float:
    """Intersection over union of two boxes."""
    width = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    height = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    common = max(0.0, width) * max(0.0, height)
    return common / (a.width * a.height + b.width * b.height - common)
