"""Known people -> tracklets -> the gallery's own writer -> figures."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from services.reid.core.identity import IdentitySettings
from services.reid.training.crops import Crop
from services.reid.training.replay.__main__ import cli
from services.reid.training.replay.footage import Look, Seen, clips
from services.reid.training.replay.gallery import replayed
from services.reid.training.replay.report import report
from services.reid.training.replay.tracklets import Teller
from services.reid.training.replay.wildtrack import Annotation, Dressing, _as_covered, looks
from shared.images import encode_jpeg
from shared.messages import Box
from tests.unit.reid.fakes import OneModelStore

DIGEST = "d" * 64


class Colours:
    """A crop's upper left pixel, as a direction of its own."""

    def embed(self, crops):
        vectors = np.zeros((len(crops), 256), np.float32)
        for n, crop in enumerate(crops):
            vectors[n, crop[0, 0, 0]] = 1.0
        return vectors


def seen(person: int, x: float, y: float = 100.0) -> Seen:
    crop = np.random.default_rng(person).integers(0, 255, (128, 64, 3), np.uint8)
    crop[0, 0, 0] = person
    return Seen(person, Box(x=x, y=y, width=50, height=120), crop)


def two_streets() -> list[Look]:
    """Five people, one after the other, through two pictures."""
    looks = []
    for n in range(120):
        time_s = n / 2
        for camera, later in (("a", 0.0), ("b", 6.0)):
            here = [
                seen(person, x=50 + 60 * (time_s - later - 10 * person))
                for person in range(5)
                if 0 <= time_s - later - 10 * person < 5
            ]
            looks.append(Look(camera, time_s, (640, 480), tuple(here)))
    return looks


async def test_people_who_look_unlike_get_their_own_ids_through_the_real_gallery(tmp_path):
    told = list(Teller(Colours(), "m", DIGEST, gated=True).tell(clips(two_streets(), 3.2)))
    given = await replayed(
        [it.message for it in told], OneModelStore(), IdentitySettings(), tmp_path
    )
    found = report([sight for it in told for sight in it.sights], given)
    assert (found.figures.people, found.figures.ids, found.figures.switches) == (5, 5, 0)
    assert found.figures.idf1 == 1.0
    assert all(level.right == 1.0 for level in found.recognised)


def test_every_camera_has_a_clip_in_every_span_though_it_sees_nobody():
    cut = list(clips(two_streets(), 3.2))
    for camera in ("a", "b"):
        assert [clip.seq for clip in cut if clip.camera_id == camera] == list(range(19))
    assert sum(len(clip.looks) for clip in cut) == 240


def test_who_stands_nearer_is_drawn_over_who_stands_behind():
    behind, nearer = seen(1, x=100, y=100), seen(2, x=125, y=110)
    covered = _as_covered(behind, [behind, nearer]).crop
    assert (covered[:, :32] == behind.crop[:, :32]).all()
    assert (covered[:10] == behind.crop[:10]).all()
    assert not (covered[20:, 40:] == behind.crop[20:, 40:]).all()
    assert (_as_covered(nearer, [behind, nearer]).crop == nearer.crop).all()


def test_nobody_is_seen_in_a_view_for_which_they_have_no_clothes(tmp_path):
    box = Box(x=0, y=0, width=50, height=120)
    annotations = [Annotation(0, person, view, box) for person in (7, 8) for view in (0, 1, 2)]
    crops = [Crop(tmp_path, 1, 1), Crop(tmp_path, 1, 4), Crop(tmp_path, 2, 1)]
    dressing = Dressing.of(annotations, crops, seed=0, most=250)
    assert sorted(len(worn) for worn in dressing.crops.values()) == [1, 1, 1]
    assert {view for _, view in dressing.crops} == {0, 1}
    for (_, view), worn in dressing.crops.items():
        assert {crop.camera for crop in worn} == {1 if view == 0 else 4}


def test_boxes_are_found_as_a_detector_finds_them_unless_told_otherwise(tmp_path):
    path = tmp_path / "crop.jpg"
    path.write_bytes(encode_jpeg(np.zeros((128, 64, 3), np.uint8), 90))
    box = Box(x=500, y=300, width=50, height=120)
    annotations = [Annotation(5 * n, 7, 0, box) for n in range(200)]
    dressing = Dressing.of(annotations, [Crop(path, 1, 1)], seed=0, most=1)

    def boxes(**how):
        return [look.seen[0].box for look in looks(annotations, dressing, covered=True, **how)]

    assert set(boxes(error=0.0)) == {box}
    feet = np.array([found.y + found.height - 420 for found in boxes()]) / 120
    assert 0.04 < feet.std() < 0.06
    assert boxes(seed=1) == boxes(seed=1) != boxes(seed=2)


@pytest.mark.data
def test_wildtrack_s_people_are_told_apart_across_its_views(data, monkeypatch):
    """Twenty people for eight seconds; the figures in DECISIONS.md are those of all of them."""
    tracks, crops = data("WILDTRACK_annotations"), data("Market-1501-train")
    arguments = ["wildtrack", "--tracks", str(tracks), "--crops", str(crops), "--split", "train"]
    few = ["--people", "20", "--seconds", "8", "--no-covered", "--json"]
    result = CliRunner().invoke(cli, [*arguments, *few])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.output.splitlines()[-1])
    assert figures["people"] > 5
    assert figures["idf1"] > 0.6
