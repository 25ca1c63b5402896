from __future__ import annotations

from services.gateway.core.trajectory import Seen, stays

SECOND = 1_000_000


def seen(camera: str, start: float, end: float, confidence: float = 0.9, crop: str = "x") -> Seen:
    return Seen(camera, int(start * SECOND), int(end * SECOND), confidence, crop)


def test_sightings_without_a_longer_pause_are_one_stay():
    (stay,) = stays([seen("a", 0, 3), seen("a", 4, 7), seen("a", 8, 9)])
    assert (stay.start_us, stay.end_us, stay.sightings) == (0, 9 * SECOND, 3)


def test_who_comes_back_later_stays_twice():
    found = stays([seen("a", 0, 3), seen("a", 30, 33)])
    assert [stay.start_us for stay in found] == [0, 30 * SECOND]


def test_a_way_through_the_city_is_in_the_order_of_time():
    found = stays([seen("c", 40, 45), seen("a", 0, 5), seen("b", 20, 25)])
    assert [stay.camera_id for stay in found] == ["a", "b", "c"]


def test_overlapping_cameras_give_overlapping_stays():
    found = stays([seen("a", 0, 6), seen("b", 3, 9), seen("a", 7, 10)])
    assert [(stay.camera_id, stay.sightings) for stay in found] == [("a", 2), ("b", 1)]


def test_a_stay_shows_its_surest_crop_and_weighs_confidence_by_length():
    (stay,) = stays([seen("a", 0, 9, 0.8, "long"), seen("a", 9, 10, 1.0, "sure")])
    assert stay.crop == "sure"
    assert round(stay.confidence, 3) == 0.82


def test_nobody_seen_is_no_stay():
    assert stays([]) == []
