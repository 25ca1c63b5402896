"""Cameras of the simulated city, tampered with in every way -> which alerts come, and which should.

Run as a script, or by `make bench`. The seeds are others than those that the thresholds were chosen
on; DECISIONS.md tells which.
"""

from __future__ import annotations

from collections import Counter
from itertools import count
from typing import TYPE_CHECKING

import cv2
import numpy as np

from services.anomaly.core.look import look_of, stir_of
from services.anomaly.core.tampering import TamperingSettings, ViewMemory, judge
from services.anomaly.lookout import FRAMES_OF_A_LOOK
from services.gateway.core.alarm import Alarm, Turn, hear
from services.gateway.core.kinds import TAMPERING
from services.gateway.core.tampering import TamperingRule
from services.synthetic.city import City, CityPlan
from shared.messages import TamperingSigns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SEEDS = ((51, 11), (52, 12), (53, 13), (54, 14))
"""Of people and of scenery."""
FPS, CLIP = 5, 16
USUAL_CLIPS, TAMPERED_CLIPS = 30, 8
INTERVAL_US = 200_000
RULES, ALARM = TamperingSettings(), TamperingRule().alarm_rule


def noisy(frame, rng, sigma=2.5):
    """A lens takes no noise away: what was blurred or covered has some of its own."""
    return np.clip(frame + rng.normal(0, sigma, frame.shape), 0, 255).astype(np.uint8)


def covered(level: float) -> Callable:
    return lambda f, rng: noisy(np.full(f.shape, level) + np.linspace(-8, 8, f.shape[1]), rng)


def light_through(f, rng):
    return noisy(30 + 0.15 * cv2.GaussianBlur(f.astype(np.float32), (0, 0), 0.05 * f.shape[1]), rng)


def blurred(share: float) -> Callable:
    return lambda f, rng: noisy(cv2.GaussianBlur(f, (0, 0), share * f.shape[1]), rng, 1.5)


def moved(share: float = 0.0, degrees: float = 0.0, zoom: float = 1.0) -> Callable:
    def change(f, _):
        height, width = f.shape
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, zoom)
        matrix[:, 2] += (share * width, 0.5 * share * width)
        return cv2.warpAffine(f, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)

    return change


def lit(gain: float, offset: float = 0.0) -> Callable:
    return lambda f, rng: noisy(gain * f + offset, rng, 1.5)


def recompressed(f, _):
    return cv2.imdecode(cv2.imencode(".jpg", f, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], 0)


CHANGES: dict[str, tuple[Callable, str | None]] = {
    "black cover": (covered(8), "covered"),
    "gray cover": (covered(120), "covered"),
    "cover that lets light through": (light_through, "covered"),
    "blur, sigma 0.5 % of the width": (blurred(0.005), "defocused"),
    "blur 1 %": (blurred(0.01), "defocused"),
    "blur 2 %": (blurred(0.02), "defocused"),
    "blur 4 %": (blurred(0.04), "defocused"),
    "shift 2 % of the width": (moved(0.02), "moved"),
    "shift 5 %": (moved(0.05), "moved"),
    "shift 20 %": (moved(0.2), "moved"),
    "turn by 3 degrees": (moved(degrees=3), "moved"),
    "turn by 10 degrees": (moved(degrees=10), "moved"),
    "zoom 1.1": (moved(zoom=1.1), "moved"),
    "zoom 1.3": (moved(zoom=1.3), "moved"),
    "half the light": (lit(0.5), None),
    "a quarter of the light": (lit(0.25), None),
    "glare": (lit(1.4), None),
    "haze": (lit(0.5, 80), None),
    "noise, sigma 6": (lambda f, rng: noisy(f, rng, 6), None),
    "JPEG of quality 30": (recompressed, None),
}


class Watch:
    """One camera through the judgement of a worker and the alarms of the composer."""

    def __init__(
        self, memory: ViewMemory | None = None, clips: Iterator[int] | None = None
    ) -> None:
        self.memory, self.raised = memory, []
        self._clips = clips or count()
        self._alarms = {sign: Alarm() for sign in TAMPERING}

    def see(self, frames) -> None:
        first_us = next(self._clips) * CLIP * INTERVAL_US
        last_us = first_us + (CLIP - 1) * INTERVAL_US
        picked = np.linspace(0, len(frames) - 1, FRAMES_OF_A_LOOK).round().astype(int)
        look = look_of([frames[n] for n in picked])
        signs, self.memory = judge(self.memory, look, stir_of(frames), last_us, RULES)
        for sign, at_us in ((s, at) for s in TAMPERING for at in (first_us, last_us)):
            score = getattr(signs or TamperingSigns(), sign)
            alarm, turn = hear(self._alarms[sign], at_us, score, ALARM, learning=False)
            self._alarms[sign] = alarm
            self.raised += [sign] if turn is Turn.OPENED else []


def clips_of(city: City, camera_id: str) -> list[list[np.ndarray]]:
    frames = [
        cv2.cvtColor(city.frame(camera_id, n), cv2.COLOR_RGB2GRAY) for n in range(city.frames)
    ]
    return [frames[n : n + CLIP] for n in range(0, len(frames) - CLIP + 1, CLIP)]


def tampered(watch: Watch, clips, change: Callable, rng) -> str | None:
    """What is raised first of a camera that was usual until now."""
    after = Watch(watch.memory, count(USUAL_CLIPS))
    for clip in clips:
        # Four of the frames are enough to see a look; noise is dear to draw.
        after.see([change(frame, rng) for frame in clip[::5]])
    return after.raised[0] if after.raised else None


def test_tampering_is_told_by_its_kind_and_light_and_life_are_not():
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    told: dict[str, Counter] = {name: Counter() for name in [*CHANGES, "frozen", "turned away"]}
    false, hours, elsewhere = 0, 0.0, None
    for seed, scenery in SEEDS:
        seconds = (USUAL_CLIPS + TAMPERED_CLIPS) * CLIP / FPS
        city = City(CityPlan(seed=seed, scenery_seed=scenery, duration_s=seconds, fps=FPS))
        for camera in city.cameras:
            clips = clips_of(city, camera.id)
            whole, watch = Watch(), Watch()
            for clip in clips:
                whole.see(clip)
            false, hours = false + len(whole.raised), hours + seconds / 3600
            for clip in clips[:USUAL_CLIPS]:
                watch.see(clip)
            rest = clips[USUAL_CLIPS:]
            for name, (change, _) in CHANGES.items():
                told[name][tampered(watch, rest, change, rng)] += 1
            still = [[rest[0][0]] * CLIP] * TAMPERED_CLIPS
            told["frozen"][tampered(watch, still, lambda f, _: f, rng)] += 1
            if elsewhere is not None:
                told["turned away"][tampered(watch, elsewhere, lambda f, _: f, rng)] += 1
            elsewhere = rest
    print(f"\nuntouched: {false} alerts in {hours:.2f} camera-hours")
    wanted = {name: kind for name, (_, kind) in CHANGES.items()}
    wanted |= {"frozen": "frozen", "turned away": "moved"}
    for name, kinds in told.items():
        of = f"{kinds[wanted[name]]} of {kinds.total()} right"
        wrong = {kind: n for kind, n in kinds.items() if kind not in (wanted[name], None)}
        print(f"{name:<32} {wanted[name] or 'nothing':<10} {of} {wrong or ''}")
    assert false == 0
    for name, (_, kind) in CHANGES.items():
        assert kind is not None or set(told[name]) == {None}, f"{name} is told as tampering"


if __name__ == "__main__":
    test_tampering_is_told_by_its_kind_and_light_and_life_are_not()
