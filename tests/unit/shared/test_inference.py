from __future__ import annotations

import ctypes
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import numpy as np
import pytest

from shared.errors import Unavailable
from shared.inference import (
    OpenVinoSession,
    Precision,
    Provider,
    bucket_of,
    has_bf16,
    has_cuda,
    has_openvino,
    open_session,
)
from tests.unit.shared.tiny_model import write_onnx

HAS_OPENVINO = has_openvino()
HAS_BF16 = has_bf16()
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
    assert provider == ("cuda" if has_cuda() else "openvino" if HAS_OPENVINO else "cpu")


@needs_openvino
@pytest.mark.skipif(not HAS_BF16, reason="this processor has no bf16")
def test_half_precision_is_said_to_be_used(onnx):
    session = open_session(onnx, provider=Provider.OPENVINO, precision=Precision.BF16)
    assert session.precision == "bf16"


@needs_openvino
@pytest.mark.skipif(HAS_BF16, reason="this processor has bf16")
def test_half_precision_is_refused_where_it_would_silently_be_fp32(onnx):
    with pytest.raises(Unavailable, match="no bf16"):
        open_session(onnx, provider=Provider.OPENVINO, precision=Precision.BF16)


@needs_openvino
def test_openvino_runs_as_many_passes_side_by_side_as_there_are_lanes(onnx):
    for lanes in (1, 2):
        session = open_session(onnx, provider=Provider.OPENVINO, lanes=lanes)
        assert isinstance(session, OpenVinoSession)
        assert session.lanes == lanes


class SignalStack(ctypes.Structure):
    """stack_t of signal.h."""

    _fields_ = (("at", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@needs_openvino
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux where signals are handled")
def test_openvino_leaves_its_caller_no_stack_of_its_own_to_handle_signals_on(onnx):
    found = []

    def load() -> None:
        session, stack = open_session(onnx, provider=Provider.OPENVINO), SignalStack()
        session(batch(1))
        ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack))
        found.append(stack.at)

    thread = Thread(target=load)  # pytest's own has a stack for signals
    thread.start()
    thread.join()
    assert found == [None]


FIRST_USE_BY_MANY_THREADS = """
import faulthandler, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import numpy as np
from shared.inference import Provider, open_session

read, reads = np.lib.NumpyVersion, []

def read_slowly(version):
    reads.append(version)
    time.sleep(0.5)  # the other threads run now
    return read(version)

# What the first use of OpenVINO's tables calls in Python.
np.lib.NumpyVersion = read_slowly
# Threads that wait for each other cannot be interrupted, but their process can be ended.
faulthandler.dump_traceback_later(60, exit=True)
with ThreadPoolExecutor(6) as threads:
    loading = [
        threads.submit(open_session, Path(sys.argv[1]), provider=Provider.OPENVINO, lanes=2)
        for _ in range(2)
    ]
    sessions = [session.result() for session in loading]
    asked = [threads.submit(session, np.ones((1, 3), np.float32)) for session in sessions * 3]
    assert [float(answer.result()[0].item()) for answer in asked] == [6.0] * 6
assert reads, "pybind11 has changed: nothing was slowed down"
"""


@needs_openvino
def test_threads_may_open_and_ask_openvino_for_the_first_time_all_at_once(onnx):
    command = [sys.executable, "-c", FIRST_USE_BY_MANY_THREADS, str(onnx)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@needs_openvino
def test_openvino_reports_nothing_to_its_maker(onnx):
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from shared.inference import Provider, open_session\n"
        f"open_session(Path({str(onnx)!r}), provider=Provider.OPENVINO)\n"
        "assert 'openvino.tools.ovc.telemetry_stub' in sys.modules, 'OpenVINO has changed'\n"
        "sys.exit(any(name.startswith('openvino_telemetry.') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_batches_on_a_gpu_come_in_few_sizes():
    assert [bucket_of(size) for size in (1, 2, 3, 4, 5, 8, 9, 31, 32)] == [
        *(1, 2, 4, 4, 8, 8, 16, 32, 32)
    ]


@pytest.mark.gpu
@pytest.mark.skipif(not has_cuda(), reason="ONNX Runtime was not built for CUDA")
def test_a_gpu_answers_as_the_cpu_does_for_batches_of_any_size(onnx):
    gpu = open_session(onnx, provider=Provider.CUDA)
    cpu = open_session(onnx, provider=Provider.CPU)
    for size in (1, 3, 8, 9):
        pixels = batch(size)
        for found, expected in zip(gpu(pixels), cpu(pixels), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_provider_that_is_not_installed_is_unavailable(onnx, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(Unavailable, match="install the openvino extra"):
        open_session(onnx, provider=Provider.OPENVINO)


def test_a_precision_that_cannot_be_had_is_not_silently_another(onnx):
    with pytest.raises(Unavailable, match="fp32 only"):
        open_session(onnx, provider=Provider.CPU, precision=Precision.BF16)
