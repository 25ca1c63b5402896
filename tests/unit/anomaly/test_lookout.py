"""Clips of a camera, one after the other -> signs of tampering, with what Redis remembers."""

from __future__ import annotations

import numpy as np
import pytest
from prometheus_client import REGISTRY

from services.anomaly.core.tampering import TamperingSettings
from services.anomaly.lookout import Lookout
from shared.camera_memory import CameraMemory
from shared.images import blacken, encode_jpeg
from shared.messages import ClipReady, ClipScored, FrameRef, Outcome, Polygon
from tests.unit.anomaly.test_core_tampering import blurred, covered, kinds, street
from tests.unit.anomaly.test_worker import running

INTERVAL_US = 200_000
RULES = TamperingSettings(standing_s=12.0)


class Footage:
    """Clips of 16 noisy frames of one street, in seq order."""

    def __init__(self, camera_id: str = "gate", masks: tuple[Polygon, ...] = ()) -> None:
        self.scene, self.masks = street(3), masks
        self._camera_id = camera_id
        self._rng = np.random.default_rng(3)

    def clip(self, seq: int, change=lambda scene: scene):
        frames = tuple(
            FrameRef(key=str(n), captured_us=(16 * seq + n) * INTERVAL_US, width=320, height=240)
            for n in range(16)
        )
        clip = ClipReady(
            camera_id=self._camera_id,
            born=1,
            epoch=1,
            seq=seq,
            frames=frames,
            owned_from=0,
            ready_us=0,
            expires_us=1,
            masks=self.masks,
        )
        noisy = (change(self.scene) + self._rng.normal(0, 2, self.scene.shape) for _ in frames)
        return clip, [blacken(np.clip(it, 0, 255).astype(np.uint8), self.masks) for it in noisy]


@pytest.fixture
async def known(bus):
    """A lookout that knows the street, and the street; five clips have been seen."""
    lookout, footage = Lookout(bus, RULES), Footage()
    for seq in range(5):
        signs = await lookout.look(*footage.clip(seq))
    assert signs is None, "its usual look does not stand yet"
    return lookout, footage


async def test_a_camera_s_usual_view_is_remembered_from_clip_to_clip(known, bus):
    lookout, footage = known
    assert kinds(await lookout.look(*footage.clip(5))) == []
    another = Lookout(bus, RULES)
    assert kinds(await another.look(*footage.clip(6, covered(90)))) == ["covered"]
    assert kinds(await another.look(*footage.clip(7))) == []


async def test_cameras_are_remembered_apart(known):
    lookout, _ = known
    assert await lookout.look(*Footage("roof").clip(0, covered(90))) is None


async def test_an_earlier_clip_is_judged_and_replaces_no_later_lesson(known, bus):
    lookout, footage = known
    await lookout.look(*footage.clip(8))
    before = await CameraMemory(bus, "view").recall("gate")
    assert before.version == (1, 8)
    assert kinds(await lookout.look(*footage.clip(6, blurred(0.02)))) == ["defocused"]
    assert await CameraMemory(bus, "view").recall("gate") == before


async def test_a_damaged_memory_is_learnt_anew(known, bus):
    lookout, footage = known
    memory = CameraMemory(bus, "view")
    await memory.keep("gate", b"damaged", (1, 6), await memory.recall("gate"))
    assert await lookout.look(*footage.clip(7, covered(90))) is None
    assert (await memory.recall("gate")).version == (1, 7)


async def test_what_a_mask_hides_is_no_sign(bus):
    half = Polygon(points=((0, 0), (0.5, 0), (0.5, 1), (0, 1)))
    lookout, footage = Lookout(bus, RULES), Footage(masks=(half,))
    for seq in range(6):
        await lookout.look(*footage.clip(seq))
    other = np.hstack([street(4)[:, :160], footage.scene[:, 160:]])
    assert kinds(await lookout.look(*footage.clip(6, lambda _: other))) == []
    assert kinds(await lookout.look(*footage.clip(7, covered(90)))) == ["covered"]


async def test_a_mask_over_everything_says_nothing_and_remembers_nothing(bus):
    whole = Polygon(points=((0, 0), (1, 0), (1, 1), (0, 1)))
    assert await Lookout(bus, RULES).look(*Footage(masks=(whole,)).clip(0)) is None
    assert (await CameraMemory(bus, "view").recall("gate")).value is None


async def test_clips_that_show_a_sign_are_counted_by_kind(known):
    def counted() -> float:
        labels = {"kind": "covered"}
        return REGISTRY.get_sample_value("citybrain_tampered_clips_total", labels) or 0.0

    lookout, footage = known
    before = counted()
    await lookout.look(*footage.clip(5))
    await lookout.look(*footage.clip(6, covered(90)))
    assert counted() == before + 1


async def test_the_service_says_how_the_view_is_beside_the_scores(bus, redis_server, tmp_path):
    footage = Footage()
    for seq in range(25):
        await Lookout(bus, TamperingSettings()).look(*footage.clip(seq))
    async with running(bus, redis_server, tmp_path) as service:
        await service.send([encode_jpeg(it) for it in footage.clip(0)[1]])
        await service.outcomes(1)
        await service.send([encode_jpeg(it) for it in footage.clip(0, covered(90))[1]])
        usual, hidden = await service.outcomes(2)
    assert (usual.outcome, kinds(usual.tampering)) == (Outcome.DONE, [])
    assert kinds(hidden.tampering) == ["covered"]


def test_a_score_of_before_says_nothing_of_its_view():
    clip, _ = Footage().clip(0)
    old = ClipScored.of(clip, "1-1", Outcome.UNSCORED, "short").pack()
    assert ClipScored.unpack(old).tampering is None
