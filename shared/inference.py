"""An ONNX file -> a session that maps arrays to arrays, on the provider that the settings name."""

from __future__ import annotations

import importlib.util
import os
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import structlog

from shared.errors import Unavailable

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

log = structlog.get_logger(__name__)

Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


class Provider(StrEnum):
    """`auto`: OpenVINO where it is installed, else ONNX Runtime's best."""

    AUTO = "auto"
    CPU = "cpu"
    OPENVINO = "openvino"
    CUDA = "cuda"


class Precision(StrEnum):
    FP32 = "fp32"
    BF16 = "bf16"


class Session(Protocol):
    """A loaded model. `provider` and `precision` are what is used, not what was asked for."""

    provider: str
    precision: str

    def __call__(self, batch: Array) -> list[Array]:
        """One forward pass: (B, ...) in, the model's outputs out. Releases the interpreter lock."""
        ...


def open_session(
    path: Path,
    *,
    provider: Provider = Provider.AUTO,
    precision: Precision = Precision.FP32,
    threads: int = 1,
) -> Session:
    """Loads a model. threads: per forward pass; two passes may run side by side.

    Raises Unavailable where the provider that was named cannot be had: nothing falls back silently.
    """
    if provider is Provider.AUTO:
        installed = importlib.util.find_spec("openvino") is not None
        provider = Provider.OPENVINO if installed else _best_of_onnxruntime()
    if provider is Provider.OPENVINO:
        return OpenVinoSession(path, precision, threads)
    if precision is not Precision.FP32:
        raise Unavailable(f"{provider} runs fp32 only; {precision} needs provider=openvino")
    return OnnxRuntimeSession(path, provider, threads)


def _best_of_onnxruntime() -> Provider:
    has_cuda = "CUDAExecutionProvider" in _onnxruntime().get_available_providers()
    return Provider.CUDA if has_cuda else Provider.CPU


def _onnxruntime() -> Any:
    """The library. Since 1.29 its Linux wheels report models and machine to their maker unless this
    variable is set before the import; `disable_telemetry_events` comes too late."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


class OnnxRuntimeSession:
    """ONNX Runtime on CPU or CUDA."""

    def __init__(self, path: Path, provider: Provider, threads: int) -> None:
        onnxruntime = _onnxruntime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Idle threads that spin would take the cores from the other services of a small machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        wanted: list[str | tuple[str, dict[str, str]]] = ["CPUExecutionProvider"]
        if provider is Provider.CUDA:
            onnxruntime.preload_dlls()
            # The default search is slow at every new shape, and very slow since 1.20 falls back.
            wanted.insert(0, ("CUDAExecutionProvider", {"cudnn_conv_algo_search": "HEURISTIC"}))
        self._session = onnxruntime.InferenceSession(str(path), options, providers=wanted)
        used = self._session.get_providers()[0]
        if provider is Provider.CUDA and used != "CUDAExecutionProvider":
            raise Unavailable(
                f"CUDA was asked for, but ONNX Runtime offers {used}: install the gpu extra and its"
                " CUDA libraries, or set the provider to cpu"
            )
        self.provider: str = provider.value
        self.precision: str = Precision.FP32.value
        self._input = self._session.get_inputs()[0].name

    def __call__(self, batch: Array) -> list[Array]:
        outputs: list[Array] = self._session.run(None, {self._input: batch})
        return outputs


class OpenVinoSession:
    """OpenVINO on CPU. Precision is pinned: left alone it picks bf16 where the processor has it,
    and thresholds would shift."""

    def __init__(self, path: Path, precision: Precision, threads: int) -> None:
        try:
            import openvino
        except ImportError as error:
            raise Unavailable(
                "OpenVINO is not installed: install the openvino extra, or set the provider to cpu"
            ) from error
        core = openvino.Core()
        hint = "bf16" if precision is Precision.BF16 else "f32"
        self._model = core.compile_model(
            core.read_model(str(path)),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": hint,
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": 1,
                "PERFORMANCE_HINT": "LATENCY",
            },
        )
        self.provider: str = Provider.OPENVINO.value
        self.precision: str = precision.value

    def __call__(self, batch: Array) -> list[Array]:
        # A request of its own for every call: requests must not be shared between threads.
        request = self._model.create_infer_request()
        request.infer([batch], share_inputs=True)
        return [_own(tensor.data) for tensor in request.output_tensors]


def _own(data: NDArray[np.float32]) -> Array:
    """A copy that outlives the request."""
    return np.array(data, dtype=np.float32)
