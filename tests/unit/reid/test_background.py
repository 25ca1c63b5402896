from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.reid.core.background import Background, BackgroundSettings, reduce
from shared.errors import Corrupt


def street(seed=0, height=120, width=160):
    """A textured street without anybody."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 190, (height // 8, width // 8, 3))
    return np.kron(coarse, np.ones((8, 8, 1))).astype(np.uint8)


def noisy(frame, rng):
    return np.clip(frame + rng.normal(0, 2, frame.shape), 0, 255).astype(np.uint8)


def with_person(frame, x, y=40, colour=(20, 20, 120)):
    frame = frame.copy()
    frame[y : y + 48, x : x + 18] = colour
    return frame


def walk(frames, rng, street_=None):
    """Somebody walks through the street from left to right."""
    empty = street() if street_ is None else street_
    return [noisy(with_person(empty, 4 + 8 * n), rng) for n in range(frames)]


def share(mask, x, y=40):
    """Share of a person's box that is foreground."""
    return mask[y : y + 48, x : x + 18].mean()


def test_a_walker_is_found_in_the_very_first_clip():
    frames = walk(16, np.random.default_rng(1))
    background = Background.of_frames(frames)
    for n, frame in enumerate(frames):
        background, mask = background.update(frame)
        outside = mask.copy()
        outside[40:88, 4 + 8 * n : 22 + 8 * n] = False
        assert share(mask, 4 + 8 * n) > 0.9
        assert outside.mean() < 0.02


def test_nothing_is_foreground_in_an_empty_street():
    rng = np.random.default_rng(2)
    background = Background.of_frames([noisy(street(), rng) for _ in range(8)])
    _, mask = background.update(noisy(street(), rng))
    assert mask.mean() < 0.001


@pytest.mark.parametrize("gain", [0.7, 1.25])
def test_a_change_of_the_whole_light_is_no_foreground_but_a_walker_still_is(gain):
    rng = np.random.default_rng(3)
    background = Background.of_frames([noisy(street(), rng) for _ in range(8)])
    lit = np.clip(with_person(street(), 60) * gain, 0, 255).astype(np.uint8)
    _, mask = background.update(noisy(lit, rng))
    assert share(mask, 60) > 0.8
    assert mask[:, :50].mean() < 0.02


def test_a_soft_shadow_is_no_foreground():
    rng = np.random.default_rng(4)
    background = Background.of_frames([noisy(street(), rng) for _ in range(8)])
    shaded = street()
    shaded[90:110, 40:100] = (shaded[90:110, 40:100] * 0.75).astype(np.uint8)
    _, mask = background.update(noisy(shaded, rng))
    assert mask[90:110, 40:100].mean() < 0.1


def test_a_parked_thing_becomes_background_but_not_within_seconds():
    rng = np.random.default_rng(5)
    background = Background.of_frames([noisy(street(), rng) for _ in range(8)])
    masks = []
    for _ in range(1500):
        background, mask = background.update(with_person(street(), 60, colour=(90, 60, 60)))
        masks.append(share(mask, 60))
    assert min(masks[:50]) > 0.6
    assert masks[-1] < 0.3


def test_a_street_without_any_sameness_begins_anew():
    background = Background.of_frames([street(0)] * 4)
    after, mask = background.update(street(9))
    assert not mask.any()
    assert after.frames == 1
    _, mask = after.update(with_person(street(9), 60))
    assert share(mask, 60) > 0.9


def test_a_frame_of_another_size_begins_anew():
    background = Background.of_frames([street()] * 4)
    larger = street(0, 240, 320)
    after, mask = background.update(larger)
    assert after.fits(larger)
    assert not after.fits(street())
    assert not mask.any()


def test_what_comes_out_of_bytes_goes_on_as_what_went_in():
    frames = walk(12, np.random.default_rng(6))
    background = Background.of_frames(frames[:6])
    restored = Background.from_bytes(background.to_bytes())
    for frame in frames[6:]:
        background, mask = background.update(frame)
        restored, same = restored.update(frame)
        assert np.array_equal(mask, same)
    assert restored.to_bytes() == background.to_bytes()


@settings(max_examples=50, deadline=None)
@given(junk=st.binary(max_size=200))
def test_foreign_bytes_are_refused(junk):
    with pytest.raises(Corrupt):
        Background.from_bytes(junk)


def test_damaged_bytes_are_refused():
    value = bytearray(Background.of_frames([street()]).to_bytes())
    value[len(value) // 2] ^= 0xFF
    with pytest.raises(Corrupt):
        Background.from_bytes(bytes(value))


def test_reduction_takes_the_mean_of_whole_blocks():
    frame = np.random.default_rng(7).integers(0, 255, (361, 480, 3), dtype=np.uint8)
    small = reduce(frame, 160)
    assert small.shape == (3, 120, 160)
    blocks = frame[:360].reshape(120, 3, 160, 3, 3).mean(axis=(1, 3)).transpose(2, 0, 1)
    assert np.abs(small - blocks).max() <= 1.0


def test_the_state_stays_small_for_a_large_camera():
    rng = np.random.default_rng(8)
    frame = rng.integers(0, 255, (1080, 1920, 3), dtype=np.uint8)
    background = Background.of_frames([frame], BackgroundSettings())
    assert len(background.to_bytes()) < 200_000
