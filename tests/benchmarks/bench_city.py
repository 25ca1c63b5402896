"""The simulated city -> frames a second on one core, and how many times faster than real time.

Run as a script, or by `make bench`.
"""

from __future__ import annotations

import time

import cv2

from services.synthetic.city import City, CityPlan

SECONDS = 60
REPETITIONS = 3


def rates(city: City) -> dict[str, float]:
    """Frames a second of one core: the best repetition, for other work can only slow it."""
    indices = range(0, city.frames, 5)
    frames = len(indices) * len(city.cameras)
    best = {"frames": 0.0, "frames and truth": 0.0}
    for _ in range(REPETITIONS):
        for what in best:
            begun = time.process_time()
            for index in indices:
                for camera in city.cameras:
                    city.frame(camera.id, index)
                    if what != "frames":
                        city.truth(camera.id, index)
            best[what] = max(best[what], frames / (time.process_time() - begun))
    return best


def test_the_city_is_drawn_much_faster_than_it_passes():
    cv2.setNumThreads(1)
    plan = CityPlan(seed=1, duration_s=SECONDS)
    begun = time.process_time()
    city = City(plan)
    print(f"\ncity of {plan.cameras} cameras built in {time.process_time() - begun:.1f} s")
    real_time = plan.fps * plan.cameras
    for what, rate in rates(city).items():
        print(f"{what}: {rate:.0f} a second, {rate / real_time:.1f} times real time")
        assert rate > real_time


if __name__ == "__main__":
    test_the_city_is_drawn_much_faster_than_it_passes()
