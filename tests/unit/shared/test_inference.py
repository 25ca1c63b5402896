from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from shared.errors import Unavailable
from shared.inference import Precision, Provider, open_session
from tests.unit.shared.tiny_model import write_onnx

HAS_OPENVINO = importlib.util.find_spec("openvino") is not None
needs_openvino = pytest.mark.skipif(not HAS_OPENVINO, reason="OpenVINO is not installed")

PROVIDERS = [Provider.CPU, pytest.param(Provider.OPENVINO, marks=needs_openvino)]


@pytest.fixture(scope="module")
def onnx(tmp_path_factory):
    return write_onnx(tmp_path_factory.mktemp("tiny") / "model.onnx")


def batch(size: int, seed: int = 0):
    return np.random.default_rng(seed).normal(size=(size, 3)).astype(np.float32)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_model_maps_batches_of_any_size(onnx, provider):
    session = open_session(onnx, provider=provider)
    assert (session.provider, session.precision) == (provider.value, "fp32")
    for size in (1, 4, 2):
        pixels = batch(size)
        total, same = session(pixels)
        np.testing.assert_allclose(total, 2 * pixels.sum(1), rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(same, pixels)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_answers_are_kept_when_the_session_goes_on_or_away(onnx, provider):
    session = open_session(onnx, provider=provider)
    pixels = batch(2)
    total, same = session(pixels)
    expected = total.copy()
    session(batch(2, seed=1))
    del session
    pixels[:] = 0
    np.testing.assert_array_equal(total, expected)
    assert same.any(), "the answer is no view of the question"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_two_threads_may_use_one_session(onnx, provider):
    session = open_session(onnx, provider=provider)

    def ask(seed: int) -> bool:
        pixels = batch(8, seed)
        total, _ = session(pixels)
        return np.allclose(total, 2 * pixels.sum(1), atol=1e-5)

    with ThreadPoolExecutor(2) as threads:
        assert all(threads.map(ask, range(200)))


def test_the_best_provider_that_is_installed_is_found(onnx):
    provider = open_session(onnx).provider
    assert provider == ("openvino" if HAS_OPENVINO else "cpu")


@needs_openvino
def test_half_precision_is_said_to_be_used(onnx):
    session = open_session(onnx, provider=Provider.OPENVINO, precision=Precision.BF16)
    assert session.precision == "bf16"


@pytest.mark.skipif(HAS_OPENVINO, reason="OpenVINO is installed")
def test_a_provider_that_is_not_installed_is_unavailable(onnx):
    with pytest.raises(Unavailable, match="install the openvino extra"):
        open_session(onnx, provider=Provider.OPENVINO)


def test_a_precision_that_cannot_be_had_is_not_silently_another(onnx):
    with pytest.raises(Unavailable, match="fp32 only"):
        open_session(onnx, provider=Provider.CPU, precision=Precision.BF16)
