"""A drawn street, tampered with in every way -> the sign that says so; light and life -> none."""

from __future__ import annotations

from itertools import count

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.anomaly.core.look import HEIGHT, WIDTH, kept, look_of, stir_of
from services.anomaly.core.tampering import TamperingSettings, ViewMemory, judge
from shared.clock import SECOND_US
from shared.errors import Corrupt
from shared.messages import TamperingSigns

RULES = TamperingSettings()
CLIP_US = 10 * SECOND_US
FRAMES = 4
"""Of a test's clip: as good as sixteen, and quicker."""

GRAIN = np.random.default_rng(5).normal(0, 1, (400, 500)).astype(np.float32)
"""Sensor noise: every frame takes a part of it at a place of its own."""


def street(seed: int, width: int = 320, height: int = 240):
    """A gray scene with many edges, as float."""
    rng = np.random.default_rng(seed)
    scene = np.full((height, width), 120.0, np.float32)
    for _ in range(90):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        w, h = (int(it) for it in rng.integers(6, 60, 2))
        scene[y : y + h, x : x + w] = rng.uniform(20, 235)
    return scene


class Camera:
    """Pushes clips of a scene with sensor noise of its own, and remembers what judge does."""

    def __init__(self, seed: int = 0, noise: float = 2.0) -> None:
        self.scene = street(seed)
        self.memory: ViewMemory | None = None
        self._rng = np.random.default_rng(seed + 1)
        self._noise = noise
        self._clips = count()

    def frames(self, scene, noise: float | None = None):
        sigma = self._noise if noise is None else noise
        return [
            np.clip(scene + sigma * self._grain(scene.shape), 0, 255).astype(np.uint8)
            for _ in range(FRAMES)
        ]

    def _grain(self, shape):
        height, width = shape
        top, left = self._rng.integers(400 - height), self._rng.integers(500 - width)
        return GRAIN[top : top + height, left : left + width]

    def push(self, frames, hidden=None) -> TamperingSigns | None:
        at_us = next(self._clips) * CLIP_US
        look = look_of(frames, hidden)
        signs, self.memory = judge(self.memory, look, stir_of(frames), at_us, RULES)
        return signs

    def watch(self, change=lambda scene: scene, clips: int = 1, noise: float | None = None):
        """The signs of the last of so many clips of the changed scene."""
        signs = None
        for _ in range(clips):
            signs = self.push(self.frames(change(self.scene), noise))
        return signs

    def pause(self, seconds: float) -> None:
        for _ in range(int(seconds * SECOND_US / CLIP_US)):
            next(self._clips)


@pytest.fixture
def camera():
    """One whose usual look stands."""
    camera = Camera()
    camera.watch(clips=8)
    return camera


def kinds(signs: TamperingSigns) -> list[str]:
    return [kind for kind, score in signs.model_dump().items() if score >= 1]


def shifted(x: float, y: float, degrees: float = 0.0, zoom: float = 1.0):
    """Pixels by which the view is moved, as shares of its width."""

    def change(scene):
        height, width = scene.shape
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, zoom)
        matrix[:, 2] += (x * width, y * width)
        return cv2.warpAffine(scene, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)

    return change


def blurred(share: float):
    return lambda scene: cv2.GaussianBlur(scene, (0, 0), share * scene.shape[1])


def covered(level: float):
    return lambda scene: np.full_like(scene, level) + np.linspace(-8, 8, scene.shape[1])


TAMPERINGS = {
    "black cover": (covered(8), "covered"),
    "gray cover": (covered(120), "covered"),
    "a hand that lets light through": (lambda s: 30 + 0.15 * blurred(0.05)(s), "covered"),
    "slightly out of focus": (blurred(0.01), "defocused"),
    "far out of focus": (blurred(0.03), "defocused"),
    "out of focus, in half the light": (lambda s: 0.5 * blurred(0.015)(s), "defocused"),
    "pushed aside": (shifted(0.06, 0.03), "moved"),
    "turned about its axis": (shifted(0, 0, degrees=12), "moved"),
    "zoomed in": (shifted(0, 0, zoom=1.4), "moved"),
    "turned away": (lambda s: street(99), "moved"),
}


@pytest.mark.parametrize(("change", "kind"), TAMPERINGS.values(), ids=TAMPERINGS)
def test_tampering_is_told_by_its_kind_and_by_no_other(camera, change, kind):
    assert kinds(camera.watch(change, clips=2)) == [kind]


def test_a_picture_that_stands_still_is_frozen(camera):
    still = camera.frames(camera.scene)[0]
    assert kinds(camera.push([still] * FRAMES)) == ["frozen"]


def test_a_black_picture_without_any_noise_is_a_cover_and_nothing_else(camera):
    black = np.zeros(camera.scene.shape, np.uint8)
    assert kinds(camera.push([black] * FRAMES)) == ["covered"]


def test_a_camera_that_was_always_still_is_never_called_frozen():
    camera = Camera(noise=0.0)
    assert kinds(camera.watch(clips=8)) == []


LIVES = {
    "half the light": lambda s: 0.5 * s,
    "the lights go out": lambda s: 0.12 * s,
    "glaring light": lambda s: np.clip(1.4 * s, 0, 255),
    "haze": lambda s: 90 + 0.45 * s,
    "another gamma": lambda s: 255 * (s / 255) ** 1.8,
    "a parked van": lambda s: np.block([[np.full((240, 106), 200.0), s[:, 106:]]]),
}


@pytest.mark.parametrize("change", LIVES.values(), ids=LIVES)
def test_light_and_what_hides_a_third_raise_nothing(camera, change):
    assert kinds(camera.watch(change, clips=3)) == []


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 1_000),
    gain=st.floats(0.3, 1.3),
    offset=st.floats(-15, 40),
    noise=st.floats(1, 7),
    people=st.integers(0, 25),
)
def test_normal_footage_with_any_light_noise_and_crowd_raises_nothing(
    seed, gain, offset, noise, people
):
    camera = Camera(seed)
    camera.watch(clips=8)
    rng = np.random.default_rng(seed)
    for _ in range(3):
        frames = camera.frames(gain * camera.scene + offset, noise)
        at = rng.integers(0, (290, 190), (people, 2))
        steps = rng.integers(-17, 17, (people, 2))
        for n, frame in enumerate(frames):
            for (x, y), (dx, dy), level in zip(at, steps, range(0, 250, 10), strict=False):
                left, top = max(x + n * dx, 0), max(y + n * dy, 0)
                frame[top : top + 40, left : left + 16] = level
        assert kinds(camera.push(frames)) == []


def test_night_falls_slowly_and_day_comes_again_and_nothing_is_told(camera):
    for gain in [*np.linspace(1, 0.06, 180), *np.linspace(0.06, 1, 180)]:
        signs = camera.watch(lambda scene, gain=gain: gain * scene)
        assert kinds(signs) == [], f"at {gain:.2f} of the light"


def test_nothing_is_told_before_a_look_stands():
    camera = Camera()
    camera.watch(clips=3)
    assert camera.watch(covered(8)) is None


def test_what_shows_a_sign_teaches_nothing(camera):
    before = camera.memory.looks
    camera.watch(covered(60), clips=100)
    assert camera.memory.looks == before
    assert kinds(camera.watch(covered(60))) == ["covered"], "however long it lasts"
    assert kinds(camera.watch()) == []


def test_what_passes_at_large_is_not_taken_for_another_view(camera):
    views = [shifted(x, 0.1) for x in (0.1, 0.3, 0.5, 0.2)]
    assert [camera.watch(view).moved for view in views] == [0.0] * 4


def test_another_view_that_stays_becomes_usual_and_so_does_the_old_one_again(camera):
    turned = shifted(0.2, 0.1)
    assert kinds(camera.watch(turned, clips=2)) == ["moved"]
    camera.pause(RULES.settle_s)
    camera.watch(turned)
    assert kinds(camera.watch(turned)) == [], "as an operator has aimed it"
    assert kinds(camera.watch()) == [], "by day as by night"
    assert kinds(camera.watch(turned, clips=2)) == []
    assert kinds(camera.watch(covered(8))) == ["covered"]


def test_a_view_that_comes_back_in_time_does_not_become_usual(camera):
    camera.watch(shifted(0.2, 0.1), clips=2)
    camera.pause(RULES.settle_s - 60)
    camera.watch()
    camera.pause(120)
    assert kinds(camera.watch(shifted(0.2, 0.1), clips=2)) == ["moved"]


def test_a_mask_neither_hides_a_tampering_nor_is_one():
    hidden = np.zeros((HEIGHT, WIDTH), np.bool_)
    hidden[:70, :90] = True
    camera = Camera()

    def masked(change=lambda scene: scene):
        frames = camera.frames(change(camera.scene))
        for frame in frames:
            frame[:116, :150] = 0
        return camera.push(frames, hidden)

    for _ in range(8):
        signs = masked()
    assert kinds(signs) == []
    assert kinds(masked(blurred(0.015))) == ["defocused"]
    assert kinds(masked(covered(120))) == ["covered"]
    masked(shifted(0.06, 0.03))
    assert kinds(masked(shifted(0.06, 0.03))) == ["moved"]


def test_a_mask_over_everything_leaves_no_look():
    frames = Camera().frames(street(0))
    assert look_of(frames, np.ones((HEIGHT, WIDTH), np.bool_)) is None


def test_a_view_without_edges_says_nothing_of_where_they_are():
    wall = look_of([np.full((240, 320), 90, np.uint8)] * FRAMES)
    assert kept(wall.edges, wall.edges, blur=1.0, floor=4.0) is None


def test_another_resolution_is_the_same_view(camera):
    frames = [
        cv2.resize(frame, (640, 480), interpolation=cv2.INTER_LINEAR)
        for frame in camera.frames(camera.scene)
    ]
    signs = camera.push(frames)
    assert kinds(signs) == []


def test_frames_of_different_sizes_are_not_compared():
    assert stir_of([np.zeros((90, 120), np.uint8), np.ones((60, 80), np.uint8)]) is None
    assert stir_of([np.zeros((90, 120), np.uint8), np.full((90, 120), 3, np.uint8)]) == 3.0


def test_a_memory_comes_back_from_its_bytes(camera):
    camera.watch(shifted(0.2, 0.1), clips=2)
    again = ViewMemory.from_bytes(camera.memory.to_bytes())
    np.testing.assert_array_equal(again.looks[0].edges, camera.memory.looks[0].edges)
    np.testing.assert_array_equal(again.latest, camera.memory.latest)
    assert again.to_bytes() == camera.memory.to_bytes()
    camera.memory = again
    assert kinds(camera.watch(covered(8))) == ["covered"]


@pytest.mark.parametrize(
    "value", [b"", b"\xc1", b"\x93\x01\x02\x03", b"\x95\x90\xc4\x01a\x01\x02\x03"]
)
def test_foreign_bytes_are_no_memory(value):
    with pytest.raises(Corrupt):
        ViewMemory.from_bytes(value)
