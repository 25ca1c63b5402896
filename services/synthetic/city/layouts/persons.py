"""An order -> crops of people, named as in Market-1501, to train and to search among."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from services.synthetic.city.chance import stream
from services.synthetic.city.city import City
from services.synthetic.city.layouts.folder import close
from shared.images import encode_jpeg

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from services.synthetic.city.layouts.folder import Manifest
    from services.synthetic.city.layouts.order import Order
    from shared.images import Pixels
    from shared.messages import Box

CROP_WIDTH, CROP_HEIGHT = 64, 128
"""Pixels, as in Market-1501."""

SLIMMEST = 0.4
"""Least width of a crop, in its heights: detectors find no boxes as slim as a figure seen from the
side, and stretching such a box would fatten the figure (ours)."""


class Sight(NamedTuple):
    """A person who can be cropped from a frame."""

    person_id: int
    camera: int
    frame: int
    box: Box


def write_persons(order: Order) -> Manifest | None:
    """Crops of 64x128 named as in Market-1501, `PID_cCsS_FRAME_N.jpg`: `train` and, of other
    people, `query` (one of each person and camera, for those whom several cameras saw) and
    `gallery` (all others)."""
    plan, settings = order.plan, order.settings
    city = City(plan)
    order.total = 2 * city.frames * plan.cameras
    sights = list(_survey(city, order))
    homes = _homes(sights, stream(plan.seed, "split"), settings.train_share)
    counts: Counter[str] = Counter({"train": 0, "query": 0, "gallery": 0})
    by_frame: dict[tuple[int, int], list[Sight]] = {}
    for sight in sights:
        by_frame.setdefault((sight.camera, sight.frame), []).append(sight)
    for camera in range(plan.cameras):
        for index in range(city.frames):
            if not order.goes_on():
                return None
            for n, sight in enumerate(by_frame.get((camera, index), [])):
                home = homes[sight]
                name = f"{sight.person_id:04d}_c{camera + 1}s1_{index:06d}_{n:02d}.jpg"
                frame = city.frame(f"city-{camera + 1}", index)
                crop = _crop(frame, sight, settings.jitter, plan.seed)
                order.folder.add(f"{home}/{name}", encode_jpeg(crop, settings.quality))
                counts[home] += 1
    people = len({sight.person_id for sight in sights})
    return close(order.folder, "persons", plan, settings, {**counts, "people": people})


def _survey(city: City, order: Order) -> Iterator[Sight]:
    """Everybody who stands wholly inside a frame and is hidden but a little."""
    width, height = city.plan.width, city.plan.height
    for camera, it in enumerate(city.cameras):
        for index in range(city.frames):
            if not order.goes_on():
                return
            for person in city.truth(it.id, index).people:
                box = person.box
                right, bottom = box.x + box.width, box.y + box.height
                inside = min(box.x, box.y) > 0 and right < width and bottom < height
                if inside and person.visible_fraction >= order.settings.whole:
                    yield Sight(person.person_id, camera, index, box)


def _homes(
    sights: Sequence[Sight], rng: np.random.Generator, train_share: float
) -> dict[Sight, str]:
    """Which folder each crop belongs to."""
    by_person: dict[int, list[Sight]] = {}
    for sight in sights:
        by_person.setdefault(sight.person_id, []).append(sight)
    people = rng.permutation(sorted(by_person)).tolist()
    homes: dict[Sight, str] = {}
    for rank, person in enumerate(people):
        if rank < train_share * len(people):
            homes |= dict.fromkeys(by_person[person], "train")
            continue
        homes |= dict.fromkeys(by_person[person], "gallery")
        cameras = sorted({sight.camera for sight in by_person[person]})
        for camera in cameras if len(cameras) > 1 else ():
            seen = [sight for sight in by_person[person] if sight.camera == camera]
            # A camera's only crop stays in the gallery, so that other cameras can find it.
            if len(seen) > 1:
                homes[seen[int(rng.integers(len(seen)))]] = "query"
    return homes


def _crop(frame: Pixels, sight: Sight, jitter: float, seed: int) -> Pixels:
    """(128, 64, 3): the box with its edges moved a little, as a detector would."""
    rng = stream(seed, "jitter", *sight[:3])
    box = sight.box
    aside, upright = rng.uniform(-jitter, jitter, (2, 2))
    width = max(box.width, SLIMMEST * box.height)
    middle = box.x + box.width / 2
    left, right = (aside * width + (middle - width / 2, middle + width / 2)).tolist()
    top, bottom = (upright * box.height + (box.y, box.y + box.height)).tolist()
    rows = slice(max(round(top), 0), min(round(bottom), frame.shape[0]))
    columns = slice(max(round(left), 0), min(round(right), frame.shape[1]))
    crop = cv2.resize(
        frame[rows, columns], (CROP_WIDTH, CROP_HEIGHT), interpolation=cv2.INTER_LINEAR
    )
    return np.asarray(crop, np.uint8)
