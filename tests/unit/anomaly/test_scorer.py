from __future__ import annotations

import subprocess
import sys
from datetime import date

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from services.anomaly.core.clip import gray_clip
from services.anomaly.scorer import Scorer, View
from shared.errors import Corrupt, Malformed
from shared.inference import Provider, open_session
from shared.messages import Polygon, Prior
from shared.model_store import AnomalyPrior, ModelCard, ModelStore, TensorSpec, sha256_of

FRAMES, SIDE, PATCH = 8, 32, 8


def write_network_that_says(value, file):
    """An ONNX file whose reconstruction is `value` everywhere."""
    shape = ["batch", 1, FRAMES, SIDE, SIDE]
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["clip", "zero"], ["nothing"]),
            helper.make_node("Add", ["nothing", "value"], ["reconstruction"]),
        ],
        "constant",
        [helper.make_tensor_value_info("clip", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("reconstruction", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]),
            helper.make_tensor("value", TensorProto.FLOAT, [1], [value]),
        ],
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), file)


def card_of(file, **changes):
    prior = AnomalyPrior(
        score="max_patch",
        patch=PATCH,
        frame=Prior(q50=0.1, q95=0.1, q99=0.1, q999=0.2),
        patch_q999=0.1,
        frames=1,
    )
    spec = TensorSpec(name="clip", shape=(-1, 1, FRAMES, SIDE, SIDE), layout="BCTHW", colour="gray")
    fields = {
        "name": "constant",
        "version": "1",
        "service": "anomaly",
        "file": file.name,
        "sha256": sha256_of(file),
        "input": spec,
        "outputs": ("reconstruction",),
        "parameters": 1,
        "anomaly": prior,
        "training_steps": 0,
        "training_minutes": 0.0,
        "seed": 0,
        "trained_on": date(2026, 1, 1),
        "metrics": {},
    } | changes
    words = dict.fromkeys(set(ModelCard.model_fields) - set(fields) - {"identity", "settings"}, "-")
    return ModelCard(**words, **fields)


@pytest.fixture
def scorer_that_says(tmp_path):
    def build(value, **changes):
        file = tmp_path / "constant.onnx"
        write_network_that_says(value, file)
        model = ModelStore(tmp_path / "models").save(card_of(file, **changes), file)
        return Scorer(model, open_session(model.path, provider=Provider.CPU))

    return build


def gray(level, height=240, width=320):
    return np.full((height, width), level, dtype=np.uint8)


def test_errors_are_squared_differences_of_pixels_between_0_and_1(scorer_that_says):
    found = scorer_that_says(0.0).score([gray(51)] * FRAMES)
    assert found.frame_errors.shape == (FRAMES,)
    assert found.maps.shape == (FRAMES, SIDE // PATCH, SIDE // PATCH)
    assert found.maps.dtype == np.float32
    assert found.frame_errors == pytest.approx(np.full(FRAMES, 0.04), rel=1e-5)
    assert found.regions == ((),) * FRAMES
    assert found.reconstruction is None


def test_a_bright_patch_in_one_frame_is_that_frames_error_and_region(scorer_that_says):
    frames = [gray(0) for _ in range(FRAMES)]
    frames[3][60:120, 80:160] = 255  # one patch of the four by four
    found = scorer_that_says(0.0).score(frames)
    assert found.frame_errors == pytest.approx([0, 0, 0, 1, 0, 0, 0, 0], abs=1e-6)
    (region,) = found.regions[3]
    assert (region.x, region.y, region.width, region.height) == (80, 60, 80, 60)
    assert sum(map(len, found.regions)) == 1


def test_frames_may_change_their_size_within_a_clip_and_regions_follow(scorer_that_says):
    sizes = [(240, 320)] * 4 + [(480, 640)] * 4
    found = scorer_that_says(0.0).score([gray(255, *size) for size in sizes])
    assert found.frame_errors == pytest.approx(np.ones(FRAMES))
    boxes = [(region.width, region.height) for (region,) in found.regions]
    assert boxes == [(320, 240)] * 4 + [(640, 480)] * 4


def test_colour_is_scored_by_its_luminance(scorer_that_says):
    green = np.zeros((48, 64, 3), dtype=np.uint8)
    green[..., 1] = 255
    found = scorer_that_says(0.587).score([green] * FRAMES)
    assert found.frame_errors == pytest.approx(np.zeros(FRAMES), abs=1e-5)


def test_a_normalised_input_still_gives_errors_in_pixels(scorer_that_says):
    spec = TensorSpec(
        name="clip",
        shape=(-1, 1, FRAMES, SIDE, SIDE),
        layout="BCTHW",
        colour="gray",
        mean=(0.5,),
        std=(0.5,),
    )
    found = scorer_that_says(-1.0, input=spec).score([gray(51)] * FRAMES, with_reconstruction=True)
    assert found.frame_errors == pytest.approx(np.full(FRAMES, 0.04), rel=1e-4)
    assert found.reconstruction.shape == (FRAMES, SIDE, SIDE)
    assert found.reconstruction == pytest.approx(np.zeros((FRAMES, SIDE, SIDE)), abs=1e-6)


def test_the_cards_smoothing_is_applied(scorer_that_says):
    frames = [gray(0) for _ in range(FRAMES)]
    frames[3][60:120, 80:160] = 255
    scorer = scorer_that_says(0.0, settings={"reading": {"frames": 3}})
    assert scorer.score(frames).frame_errors == pytest.approx(
        [0, 0, 1 / 3, 1 / 3, 1 / 3, 0, 0, 0], abs=1e-6
    )


def test_what_stands_still_is_no_event_where_only_what_moves_counts(scorer_that_says):
    """The network says black of a gray wall, in every frame; then something white passes."""
    frames = [gray(128) for _ in range(FRAMES)]
    frames[3][60:120, 80:160] = 255
    scorer = scorer_that_says(0.0, settings={"reading": {"moving": True}})
    errors = scorer.score(frames).frame_errors
    assert errors[3] == pytest.approx((127 / 255) ** 2, rel=1e-3)
    assert np.delete(errors, 3) == pytest.approx(np.zeros(FRAMES - 1), abs=1e-6)


def test_nothing_counts_in_an_unwatched_region(scorer_that_says):
    left = Polygon(points=((0, 0), (0.5, 0), (0.5, 1), (0, 1)))
    found = scorer_that_says(0.0).score([gray(255)] * FRAMES, (left,))
    columns = found.maps.shape[2]
    assert found.maps[:, :, : columns // 2].max() == 0.0
    assert found.maps[:, :, columns // 2 :] == pytest.approx(1.0)
    assert min(box.x for boxes in found.regions for box in boxes) == 160


@pytest.mark.parametrize(
    ("count", "code"), [(0, "clip_too_short"), (FRAMES - 1, "clip_too_short"), (9, "clip_too_long")]
)
def test_a_clip_of_another_length_is_refused_by_name(scorer_that_says, count, code):
    with pytest.raises(Malformed, match=f"{count} frames; the model takes {FRAMES}") as raised:
        scorer_that_says(0.0).score([gray(0)] * count)
    assert raised.value.code == code


def test_a_batch_scores_each_clip_as_it_would_be_alone(scorer_that_says):
    scorer = scorer_that_says(0.25)
    clips = [[gray(level)] * FRAMES for level in (0, 128, 255)]
    together = scorer.score_batch([View(clip) for clip in clips])
    for clip, found in zip(clips, together, strict=True):
        assert np.array_equal(found.maps, scorer.score(clip).maps)


def test_a_model_without_an_anomaly_prior_cannot_score(scorer_that_says):
    with pytest.raises(Corrupt, match="no anomaly prior"):
        scorer_that_says(0.0, anomaly=None)


@pytest.mark.parametrize(
    ("height", "width"), [(32, 32), (100, 70), (240, 320), (487, 653), (1080, 1920)]
)
def test_resizing_keeps_a_frames_light_whatever_its_size(height, width):
    ramp = np.linspace(0, 255, width).astype(np.uint8)[None].repeat(height, axis=0)
    (small,) = gray_clip([ramp], width=32, height=32)
    expected = (np.arange(32) + 0.5) / 32 * 255
    assert np.abs(small.mean(axis=0) - expected).max() < 5


def test_scoring_needs_no_torch():
    program = "import sys, services.anomaly.scorer; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
