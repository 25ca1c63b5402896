from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from services.anomaly.scorer import Scorer
from services.synthetic.city import City, CityPlan
from shared.inference import Precision, Provider, has_bf16, has_cuda, has_openvino, open_session
from shared.model_store import ModelStore
from tests.torch_twin import torch_twin

MODELS = Path(__file__).parents[2] / "models"

needs_openvino = pytest.mark.skipif(not has_openvino(), reason="OpenVINO is not installed")
needs_cuda = pytest.mark.skipif(not has_cuda(), reason="ONNX Runtime was not built for CUDA")
needs_bf16 = pytest.mark.skipif(not has_bf16(), reason="no OpenVINO on a processor with bf16")


class TorchSession:
    """The oracle: the same weights in the network that was trained."""

    provider, precision = "torch", "fp32"

    def __init__(self, file: Path) -> None:
        self._network = torch_twin(file)

    def __call__(self, batch):
        with torch.inference_mode():
            return [self._network(torch.from_numpy(batch)).numpy()]


@pytest.fixture(scope="module", params=["stae-city", "stae-flow-ped2", "stae-plus-ped2"])
def shipped(request):
    """Seeing gray pixels, and optical flow; read by itself, and with the motion."""
    return ModelStore(MODELS).load(request.param)


@pytest.fixture(scope="module")
def frames():
    """A clip of a street, 16 frames of 5 a second."""
    city = City(CityPlan(seed=3, duration_s=20))
    step = round(city.plan.fps / 5)
    return [city.frame(city.cameras[0].id, 100 + step * n) for n in range(16)]


@pytest.fixture(scope="module")
def as_trained(shipped, frames):
    return Scorer(shipped, TorchSession(shipped.path)).score(frames)


@pytest.mark.parametrize(
    ("provider", "precision", "tolerance"),
    [
        (Provider.CPU, Precision.FP32, 1e-4),
        pytest.param(Provider.CUDA, Precision.FP32, 1e-4, marks=[pytest.mark.gpu, needs_cuda]),
        pytest.param(Provider.OPENVINO, Precision.FP32, 1e-4, marks=needs_openvino),
        pytest.param(Provider.OPENVINO, Precision.BF16, 1e-2, marks=needs_bf16),
    ],
)
def test_every_provider_finds_the_errors_that_the_trained_network_finds(
    shipped, frames, as_trained, provider, precision, tolerance
):
    session = open_session(shipped.path, provider=provider, precision=precision)
    served = Scorer(shipped, session).score(frames)
    assert (as_trained.frame_errors > 0).all(), "a clip in which something moves"
    np.testing.assert_allclose(served.frame_errors, as_trained.frame_errors, rtol=tolerance)


def test_a_clips_shape_is_fixed_and_the_batch_is_free(shipped):
    graph = onnx.load(shipped.path).graph
    for tensor in (*graph.input, *graph.output):
        batch, *sides = tensor.type.tensor_type.shape.dim
        assert batch.dim_param
        assert [side.dim_value for side in sides] == list(shipped.card.input.shape[1:])


def test_a_clip_is_reconstructed_alike_in_a_batch_of_any_size(shipped):
    sides = shipped.card.input.shape[1:]
    clips = np.random.default_rng(0).random((3, *sides), np.float32)
    session = open_session(shipped.path, provider=Provider.CPU)
    (together,) = session(clips)
    for number, clip in enumerate(clips):
        np.testing.assert_allclose(session(clip[None])[0][0], together[number], atol=1e-5)
