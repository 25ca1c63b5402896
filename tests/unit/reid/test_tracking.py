from __future__ import annotations

import warnings
from collections import defaultdict

import motmetrics
import numpy as np
import pytest

from services.reid.core.looks import Looks
from services.reid.core.tracking import Tracker, TrackingSettings
from shared.messages import Box

MARGIN = 0.02
"""By how much the own tracker's IDF1 may lie below the oracle's at full rate."""


def person(x, y=100.0, height=60.0, confidence=0.9):
    return Box(x=x, y=y, width=0.4 * height, height=height, confidence=confidence)


def identities(frames, **options):
    """frames: (time, {name: box}) -> for each name, the numbers of the tracks it was given."""
    tracker = Tracker(**options)
    given = defaultdict(list)
    for time_s, boxes in frames:
        names = {id(box): name for name, box in boxes.items()}
        for track, box in tracker.step(time_s, boxes.values()):
            given[names[id(box)]].append(track.number)
    return given


@pytest.mark.parametrize("spacing_s", [0.1, 0.2, 0.8])
def test_a_walker_is_one_track_at_any_rate(spacing_s):
    # 1.4 m/s at 60 pixels for 1.7 m.
    speed = 1.4 / 1.7 * 60
    frames = [(n * spacing_s, {"walker": person(20 + speed * n * spacing_s)}) for n in range(8)]
    assert len(set(identities(frames)["walker"])) == 1


def test_two_who_cross_at_a_distance_keep_their_tracks():
    frames = [
        (0.8 * n, {"right": person(40 * n, y=100), "left": person(240 - 40 * n, y=118, height=70)})
        for n in range(7)
    ]
    given = identities(frames)
    assert len(set(given["right"])) == len(set(given["left"])) == 1
    assert given["right"][0] != given["left"][0]


def test_who_is_hidden_for_one_look_is_found_again():
    frames = [(0.8 * n, {"walker": person(30.0 * n)} if n != 2 else {}) for n in range(6)]
    assert len(set(identities(frames)["walker"])) == 1


def test_a_doubtful_box_continues_a_track_but_begins_none():
    lone = [(0.2 * n, {"shade": person(100, confidence=0.3)}) for n in range(3)]
    assert not identities(lone)
    fading = [
        (0.2 * n, {"walker": person(100 + 8 * n, confidence=0.9 if n < 2 else 0.2)})
        for n in range(5)
    ]
    assert len(identities(fading)["walker"]) == 5


def test_nobody_jumps_across_the_picture():
    frames = [(0.0, {"one": person(20)}), (0.8, {"other": person(300)})]
    given = identities(frames)
    assert given["one"] != given["other"]


def test_a_child_beside_the_place_of_an_adult_is_somebody_else():
    frames = [
        (0.0, {"adult": person(100, y=60, height=100)}),
        (0.8, {"child": person(112, y=110, height=50)}),
    ]
    given = identities(frames)
    assert given["adult"] != given["child"]


def test_whoever_enters_where_another_has_left_is_somebody_else():
    leaving = [(0.2 * n, {"leaver": person(250 + 20.0 * n)}) for n in range(4)]
    entering = [(1.8, {"newcomer": person(296.0)})]
    given = identities(leaving + entering, frame_size=(320, 240))
    assert given["leaver"][0] != given["newcomer"][0]


def test_a_track_that_was_not_seen_for_long_has_ended():
    frames = [(0.0, {"a": person(100)}), (5.0, {"a": person(100)})]
    assert len(set(identities(frames)["a"])) == 2


def test_time_must_go_forward():
    tracker = Tracker()
    tracker.step(1.0, [person(10)])
    with pytest.raises(ValueError, match="order of time"):
        tracker.step(1.0, [person(10)])


def test_where_two_cross_between_two_looks_their_clothes_tell_who_is_who():
    """A second of darkness: by their places alone either could be either."""
    red, blue = looks(1, 0.3), looks(0.3, 1)
    tracker = Tracker()
    tracker.step(0.0, [person(100), person(124)], [red, blue])
    tracker.step(1.0, [person(112), person(113)], [blue, red])
    assert [[step.box.x for step in track.steps] for track in tracker.tracks] == [
        [100, 113],
        [124, 112],
    ]


def test_somebody_who_looks_quite_different_is_somebody_else():
    tracker = Tracker()
    tracker.step(0.0, [person(100)], [looks(1, 0)])
    tracker.step(0.4, [person(104)], [looks(0, 1)])
    assert len(tracker.tracks) == 2


def looks(*values):
    vector = np.zeros(256, np.float32)
    vector[: len(values)] = values
    return Looks(vector / np.linalg.norm(vector), 0.8)


def crossing_crowd(rng, *, dropout, spacing_s=0.1, people=8, frames=150):
    """People who walk across a street of 640x360 both ways; those nearer hide those behind.

    Returns [(time, {person: true box}, [seen boxes])].
    """
    speeds = rng.uniform(0.6, 0.95, people) * rng.choice([-1, 1], people)
    heights = rng.uniform(50, 90, people)
    starts = rng.uniform(0, 640, people)
    scene = []
    for n in range(frames):
        time_s = n * spacing_s
        true = {}
        for p in range(people):
            x = starts[p] + speeds[p] * heights[p] * time_s
            if 0 < x < 600:
                foot = 120 + 2.2 * heights[p]
                true[p] = person(x, y=foot - heights[p], height=heights[p])
        seen = [
            Box(
                x=box.x + rng.normal(0, 1),
                y=box.y + rng.normal(0, 1),
                width=box.width,
                height=box.height * np.exp(rng.normal(0, 0.02)),
                confidence=rng.uniform(0.35, 0.95),
            )
            for box in true.values()
            if not _hidden(box, true.values()) and rng.random() > dropout
        ]
        scene.append((time_s, true, seen))
    return scene


def _hidden(box, boxes):
    return any(
        other.y + other.height > box.y + box.height
        and abs(other.x + other.width / 2 - box.x - box.width / 2) < 0.35 * other.width
        for other in boxes
    )


def iou_distances(true, found):
    """1 - IoU, and no match (nan) beyond 0.5. motmetrics' own function needs NumPy 1."""
    a, b = (
        np.array([(box.x, box.y, box.width, box.height) for box in boxes]).reshape(-1, 4)
        for boxes in (true, found)
    )
    high = np.minimum((a[:, :2] + a[:, 2:])[:, None], (b[:, :2] + b[:, 2:])[None])
    shared = np.clip(high - np.maximum(a[:, None, :2], b[None, :, :2]), 0, None).prod(axis=2)
    distances = 1 - shared / (a[:, 2:].prod(1)[:, None] + b[:, 2:].prod(1)[None] - shared)
    distances[distances > 0.5] = np.nan
    return distances


def idf1(scene, results):
    """results: per frame [(number, box)]."""
    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    for (_, true, _), found in zip(scene, results, strict=True):
        distances = iou_distances(list(true.values()), [box for _, box in found])
        accumulator.update(list(true), [number for number, _ in found], distances)
    summary = motmetrics.metrics.create().compute(accumulator, metrics=["idf1"], name="scene")
    return float(summary["idf1"].iloc[0])


def own(scene, frame_size):
    tracker = Tracker(TrackingSettings(), frame_size=frame_size)
    return [
        [(track.number, box) for track, box in tracker.step(time_s, seen)]
        for time_s, _, seen in scene
    ]


def oracle(scene, rate):
    """ByteTrack by Roboflow, an independent implementation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        supervision = pytest.importorskip(
            "supervision", reason="the oracle tracker is not installed"
        )
        trackers = pytest.importorskip("trackers", reason="the oracle tracker is not installed")
        tracker = trackers.ByteTrackTracker(frame_rate=rate, minimum_consecutive_frames=1)
        results = []
        for _, _, seen in scene:
            corners = [(b.x, b.y, b.x + b.width, b.y + b.height) for b in seen]
            found = tracker.update(
                supervision.Detections(
                    xyxy=np.array(corners, float).reshape(-1, 4),
                    confidence=np.array([b.confidence for b in seen]),
                    class_id=np.zeros(len(seen), int),
                )
            )
            results.append(
                [
                    (int(number), Box(x=x1, y=y1, width=x2 - x1, height=y2 - y1))
                    for (x1, y1, x2, y2), number in zip(found.xyxy, found.tracker_id, strict=True)
                    if number is not None and number >= 0
                ]
            )
    return results


def pets(data, rng, *, dropout, every):
    """The annotated boxes of a real street, some of them left out."""
    listing = data("PETS09_S2L1", "gt", "gt.txt")
    true = defaultdict(dict)
    for line in listing.read_text().split():
        frame, number, x, y, width, height, *_ = (float(value) for value in line.split(","))
        true[int(frame)][int(number)] = Box(x=x, y=y, width=width, height=height)
    return [
        (
            frame / 10,
            true[frame],
            [
                box.model_copy(update={"confidence": rng.uniform(0.3, 0.99)})
                for box in true[frame].values()
                if rng.random() > dropout
            ],
        )
        for frame in range(1, 796, every)
    ]


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_it_follows_a_generated_crowd_as_well_as_the_oracle(dropout):
    scenes = [crossing_crowd(np.random.default_rng(seed), dropout=dropout) for seed in range(3)]
    ours = np.mean([idf1(scene, own(scene, (640, 360))) for scene in scenes])
    assert ours > 0.8
    theirs = np.mean([idf1(scene, oracle(scene, 10.0)) for scene in scenes])
    assert ours >= theirs - MARGIN


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("every", [1, 2])
def test_it_follows_the_people_of_a_real_street_as_well_as_the_oracle(data, dropout, every):
    scene = pets(data, np.random.default_rng(3), dropout=dropout, every=every)
    ours = idf1(scene, own(scene, (480, 360)))
    assert ours > 0.8
    assert ours >= idf1(scene, oracle(scene, 10 / every)) - MARGIN


def test_looks_at_a_real_street_0_8_s_apart_still_make_tracks(data):
    scene = pets(data, np.random.default_rng(3), dropout=0.0, every=8)
    assert idf1(scene, own(scene, (480, 360))) > 0.75
