"""STAE+: the reconstruction's errors and the motion's, as one."""

from __future__ import annotations

import numpy as np
import pytest

from services.anomaly.core.blend import Blend, PartScale
from services.anomaly.core.density import Mixture
from services.anomaly.core.motion import MotionSettings
from services.anomaly.scorer import Scorer, View
from shared.inference import Provider, open_session
from shared.messages import Polygon
from shared.model_store import ModelStore
from tests.dummy_models import halving_autoencoder

STROLL = Mixture(
    mean=(0.0, 0.0),
    scale=(1.0, 1.0),
    weights=(1.0,),
    means=((0.0, 0.1),),
    choleskys=(((0.3, 0.0), (0.0, 0.1)),),
    peak=float(-np.log(2 * np.pi * 0.03)),
)
BLEND = Blend(
    motion=MotionSettings(),
    mixture=STROLL,
    reconstruction_scale=PartScale(usual=0.1, range=0.5),
    motion_scale=PartScale(usual=1.0, range=4.0),
)
SECOND = 1_000_000


def plus(folder):
    """STAE+ on a network that draws every pixel half as bright."""
    plain = halving_autoencoder(folder)
    settings = plain.card.settings | {"blend": BLEND.model_dump(mode="json")}
    card = plain.card.model_copy(update={"name": "plus", "settings": settings})
    return ModelStore(folder).save(card, plain.path)


@pytest.fixture
def scorer(tmp_path):
    stored = plus(tmp_path / "models")
    return Scorer(stored, open_session(stored.path, provider=Provider.CPU))


def crossing(speed: float, frames: int = 16):
    """A textured person who crosses a textured street, from the left."""
    random = np.random.default_rng(0)
    street = random.integers(90, 110, (160, 240), np.uint8)
    coat = random.integers(0, 255, (28, 12), np.uint8)
    clip = [street.copy() for _ in range(frames)]
    for n, frame in enumerate(clip):
        left = round(20 + speed * n)
        frame[60:88, left : left + 12] = coat
    return clip


def test_the_parts_add_up_to_the_error(scorer):
    errors = scorer.score(crossing(2))
    assert [sum(parts.values()) for parts in errors.parts] == pytest.approx(
        errors.frame_errors.tolist(), rel=1e-5
    )
    assert {tuple(parts) for parts in errors.parts} == {("reconstruction", "motion")}


def test_the_faster_it_goes_the_greater_the_motions_part(scorer):
    parts = [
        np.median([frame["motion"] for frame in scorer.score(crossing(speed)).parts])
        for speed in (1, 4, 8)
    ]
    assert parts[0] < parts[1] < parts[2]


def test_who_is_fast_is_the_region(scorer):
    errors = scorer.score(crossing(8))
    for n in (4, 8, 12):
        worst = np.unravel_index(errors.maps[n].argmax(), errors.maps[n].shape)
        x, y = (worst[1] + 0.5) * 240 / 16, (worst[0] + 0.5) * 160 / 16
        assert 20 + 8 * n - 24 <= x <= 20 + 8 * n + 36
        assert 36 <= y <= 112


def test_speed_is_judged_by_the_clock_of_the_camera(scorer):
    """Half the frames at half the rate are the same walk."""
    view = View(crossing(4), captured_us=tuple(n * SECOND // 5 for n in range(16)))
    (slow,) = scorer.score_batch([view])
    (as_learnt,) = scorer.score_batch([View(crossing(4))])
    (walk,) = scorer.score_batch([View(crossing(2))])
    motion = [
        np.median([frame["motion"] for frame in errors.parts]) for errors in (slow, walk, as_learnt)
    ]
    assert motion[0] == pytest.approx(motion[1], rel=0.3)
    assert motion[2] > 1.3 * motion[0]


def test_nothing_counts_in_unwatched_regions(scorer):
    everywhere = Polygon(points=((0, 0), (1, 0), (1, 1), (0, 1)))
    errors = scorer.score(crossing(8), (everywhere,))
    assert not errors.frame_errors.any()
    assert not errors.maps.any()


def test_what_is_usual_adds_nothing_and_what_is_certain_drowns_nothing():
    scale = PartScale(usual=2.0, range=4.0)
    values = np.array([0.0, 2.0, 3.0, 6.0, 42.0], np.float32)
    assert scale.excess(values, 0.25) == pytest.approx(np.log1p([0.0, 0.0, 1.0, 4.0, 40.0]))
