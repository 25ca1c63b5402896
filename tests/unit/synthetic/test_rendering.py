"""The job city.render: what is taken can be built, and what is done stays done."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.synthetic.city.dataset import Layout
from services.synthetic.city.plan import BOUNDS
from services.synthetic.rendering import RenderParams, render
from shared.data_folder import MANIFEST
from shared.jobs import JobCancelled
from tests.unit.synthetic.studio import Watched

JOB = "0" * 26
TINY = RenderParams(seconds=0.4, fps=5, cameras=1, width=64, height=48)


def test_what_was_done_before_its_process_died_is_told_again(tmp_path):
    first = render(TINY, Watched(tmp_path / JOB, JOB))
    assert (first["layout"], first["counts"]["frames"]) == ("video", 2)
    again = Watched(tmp_path / JOB, JOB)
    assert render(TINY, again) == first
    assert again.notes == [], "nothing is drawn twice"


def test_what_was_half_done_is_begun_anew_to_the_same_bytes(tmp_path):
    whole = render(TINY, Watched(tmp_path / "whole", JOB))
    with pytest.raises(JobCancelled):
        render(TINY, Watched(tmp_path / "half", JOB, "1 of 2"))
    assert not (tmp_path / "half" / "dataset" / MANIFEST).exists()
    assert render(TINY, Watched(tmp_path / "half", JOB))["sha256"] == whole["sha256"]


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 1920},
        {"height": 1080},
        {"seconds": 0.05},
        {"seed": 2**63},
        {"layout": "clips", "seconds": 10},
        {"layout": "clips", "fps": 60},
    ],
)
def test_what_cannot_be_built_is_refused_before_it_is_a_job(changes):
    with pytest.raises(ValidationError):
        RenderParams(**changes)


@pytest.mark.parametrize("layout", Layout)
def test_all_that_is_taken_can_be_planned(layout):
    for side in (0, 1):
        extreme = {name: bound[side] for name, bound in BOUNDS.items() if name != "duration_s"}
        known = {name: extreme[name] for name in extreme.keys() & RenderParams.model_fields.keys()}
        if layout is Layout.CLIPS:
            known["fps"] = (0.5, 50)[side]
        plan = RenderParams(layout=layout, seconds=20 + side * 86_380, **known).plan()
        assert (plan.width, plan.seed) == (extreme["width"], extreme["seed"])


def test_the_test_part_of_clips_has_a_seed_whatever_the_training_parts_is(tmp_path):
    highest = RenderParams(layout="clips", seconds=20, cameras=1, seed=BOUNDS["seed"][1])
    stopped = Watched(tmp_path / JOB, JOB)
    stopped.stop.set()
    with pytest.raises(JobCancelled):
        render(highest, stopped)
