"""What a fine-tuned model's card says, and how its errors are read."""

from __future__ import annotations

import pytest

from services.anomaly.core.error_map import Reading
from services.anomaly.core.motion import MotionSettings
from services.anomaly.scorer import Scorer, blend_of, reading_of
from services.anomaly.training.blending import blended
from services.anomaly.training.candidate import Origin, candidate_of
from services.anomaly.training.footage import Recording
from services.anomaly.training.prior import Scoring
from services.anomaly.training.recorded import CameraFootage, fetch
from services.anomaly.training.settings import Stage, TrainingSettings
from services.anomaly.training.trainer import Trainer
from services.anomaly.training.windows import Source
from shared.blobs import FolderBlobs
from shared.inference import Provider, open_session
from shared.model_store import ModelStore
from tests.tiny_stae import FPS, FRAMES, SIDE, record, street, untaught

READING = Reading(moving=True, frames=3)


@pytest.fixture(scope="module")
def footage(tmp_path_factory):
    folder = tmp_path_factory.mktemp("footage")
    record(folder / "blobs", "footage/gate/1", street(120))
    blobs = FolderBlobs(folder / "blobs")
    (found,) = fetch(blobs, "footage/gate/1", folder / "frames", fps=FPS, unwatched=())
    learnt, held_out = found.frames[:80], found.frames[88:]
    return CameraFootage((Recording("a", learnt),), (Recording("b", held_out),), 120, 0, 1)


@pytest.fixture(scope="module")
def plus(footage, tmp_path_factory):
    """STAE+, learnt from footage of twice the camera's frame rate."""
    folder = tmp_path_factory.mktemp("plus")
    stored = untaught(folder)
    card = blended(
        stored,
        MotionSettings(interval_s=0.1),
        Scoring("max_patch", READING, prior_stride=FRAMES),
        learnt=footage.learnt,
        held_out=footage.held_out,
        seed=0,
    )
    return ModelStore(folder).save(card, stored.path)


def test_stae_plus_is_made_anew_at_the_camera_s_own_pace_and_read_as_before(
    plus, footage, tmp_path
):
    stages = (Stage(steps=1, window=SIDE, batch=1),)
    settings = TrainingSettings(frames=FRAMES, side=SIDE, stages=stages)
    trainer = Trainer(settings, [Source("gate", footage.learnt, 1.0)], tmp_path / "work")
    origin = Origin(plus, "gate", "01JOB", footage, FPS, 0.25)
    made = candidate_of(trainer, "stae-tiny-gate-1", origin, tmp_path / "candidate")
    assert reading_of(made.card) == READING
    assert blend_of(plus.card).motion.interval_s == 0.1
    assert blend_of(made.card).motion.interval_s == 1 / FPS
    assert made.card.settings["lineage"]["base_digest"] == plus.digest
    assert made.card.version == "1"
    scorer = Scorer(made, open_session(made.path, provider=Provider.CPU))
    assert set(scorer.score(list(street(FRAMES))).parts[0]) == {"reconstruction", "motion"}
