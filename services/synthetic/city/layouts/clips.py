"""An order -> normal clips to train on, and labelled clips with anomalies to test on."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from services.synthetic.city.city import City
from services.synthetic.city.layouts.folder import close
from services.synthetic.city.plan import SEEDS
from shared.errors import Fault, Invalid
from shared.images import encode_jpeg

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.synthetic.city.layouts.folder import Manifest
    from services.synthetic.city.layouts.order import Order
    from services.synthetic.city.plan import CityPlan

TEST_SEED_STEP = 1_000_003
"""Added to the plan's seed for the test clips: other people on the same streets."""

MOST_FRAMES = 1000
"""Of a clip: its files have three digits."""


def write_clips(order: Order) -> Manifest | None:
    """`Train/CLIP/FFF.jpg` without anomalies, `Test/CLIP/FFF.jpg` with them, and
    `frame_labels.npy`: (frames,) uint8 over the test clips in the order of their names, 1 where
    an anomaly's interval covers the frame. A clip's `unwatched.json` is the road, on
    which vehicles are none."""
    plan, settings = order.plan, order.settings
    train = replace(plan, anomalies=False)
    test = replace(
        plan,
        anomalies=True,
        anomaly_every_s=settings.test_anomaly_every_s,
        seed=(plan.seed + TEST_SEED_STEP) % SEEDS,
        duration_s=settings.test_s,
    )
    per_clip = round(settings.clip_s * plan.fps)
    if not 1 <= per_clip <= min(train.frames, test.frames, MOST_FRAMES):
        bound = min(train.frames, test.frames, MOST_FRAMES) / plan.fps
        fault = Fault("clip_s", "out_of_bounds", f"must give 1 frame, and be at most {bound:g}")
        raise Invalid("the clips do not fit the footage", faults=(fault,))
    counts = {"train_clips": 0, "train_frames": 0, "test_clips": 0, "test_frames": 0}
    steps = [(part, clip) for part in (train, test) for clip in _clips(part, per_clip)]
    order.total = len(steps) * per_clip
    labels: list[bool] = []
    cities = {False: City(train), True: City(test)}
    for part, (camera_id, number) in steps:
        city, half = cities[part.anomalies], "Test" if part.anomalies else "Train"
        for n in range(per_clip):
            if not order.goes_on():
                return None
            index = number * per_clip + n
            body = encode_jpeg(city.frame(camera_id, index), settings.quality)
            order.folder.add(f"{half}/{camera_id}_{number:03d}/{n:03d}.jpg", body)
            if part.anomalies:
                labels.append(_abnormal(city, camera_id, index))
        if road := city.camera(camera_id).road:
            order.folder.add(f"{half}/{camera_id}_{number:03d}/unwatched.json", _json([road]))
        counts[f"{half.lower()}_clips"] += 1
        counts[f"{half.lower()}_frames"] += per_clip
    order.folder.add("frame_labels.npy", _npy(np.array(labels, np.uint8)))
    return close(order.folder, "clips", plan, settings, {**counts, "abnormal_frames": sum(labels)})


def _clips(plan: CityPlan, per_clip: int) -> Iterator[tuple[str, int]]:
    """(camera id, number of the clip), in the order of the clips' names."""
    for camera in range(plan.cameras):
        for number in range(plan.frames // per_clip):
            yield f"city-{camera + 1}", number


def _abnormal(city: City, camera_id: str, index: int) -> bool:
    return any(it.covers(camera_id, city.time_s(index)) for it in city.anomalies)


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _npy(array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()
