"""An ONNX file -> a session that maps arrays to arrays, on the provider that the settings name."""

from __future__ import annotations

import importlib.util
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import structlog

from shared.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

log = structlog.get_logger(__name__)

Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


class Provider(StrEnum):
    """`auto`: CUDA where ONNX Runtime was built for it, else OpenVINO where it is installed, else
    ONNX Runtime on the CPU."""

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

    def __call__(self, *inputs: Array) -> list[Array]:
        """One forward pass: (B, ...) for each of the model's inputs, in their order; its outputs.
        Releases the interpreter lock."""
        ...


def open_session(
    path: Path,
    *,
    provider: Provider = Provider.AUTO,
    precision: Precision = Precision.FP32,
    lanes: int = 1,
    threads: int = 1,
) -> Session:
    """Loads a model. lanes: forward passes side by side; threads: of each.

    Raises Unavailable where the provider or the precision that was named cannot be had: nothing
    falls back silently.
    """
    if provider is Provider.AUTO:
        provider = _best()
    if provider is Provider.OPENVINO:
        return OpenVinoSession(path, precision, lanes, threads)
    if precision is not Precision.FP32:
        raise Unavailable(f"{provider} runs fp32 only; {precision} needs provider=openvino")
    return OnnxRuntimeSession(path, provider, threads)


def has_openvino() -> bool:
    """Whether the openvino extra is installed."""
    return importlib.util.find_spec("openvino") is not None


def has_cuda() -> bool:
    """Whether the ONNX Runtime that is installed was built for CUDA; a GPU may still be absent."""
    return "CUDAExecutionProvider" in _onnxruntime().get_available_providers()


def _best() -> Provider:
    if has_cuda():
        return Provider.CUDA
    return Provider.OPENVINO if has_openvino() else Provider.CPU


def bucket_of(size: int) -> int:
    """The batch size that a batch of `size` is filled up to on a GPU: the next power of two.

    cuDNN chooses its algorithms anew for each shape; so there are few of them.
    """
    return 1 << (size - 1).bit_length()


def _onnxruntime() -> Any:
    """The library. Since 1.29 its Linux wheels report models and machine to their maker unless this
    variable is set before the import; `disable_telemetry_events` comes too late."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


CUDA_OPTIONS = {
    # The exhaustive search is slow at every new shape, and "default" at all of them since 1.20.
    "cudnn_conv_algo_search": "HEURISTIC",
    # TF32 keeps ten bits of mantissa: whoever asked for fp32 would get other errors.
    "use_tf32": "0",
}


class OnnxRuntimeSession:
    """ONNX Runtime on CPU, or on CUDA with batches filled up to `bucket_of` their size."""

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
            wanted.insert(0, ("CUDAExecutionProvider", CUDA_OPTIONS))
        self._session = onnxruntime.InferenceSession(str(path), options, providers=wanted)
        used = self._session.get_providers()[0]
        if provider is Provider.CUDA and used != "CUDAExecutionProvider":
            raise Unavailable(
                f"CUDA was asked for, but ONNX Runtime offers {used}: install the gpu extra and its"
                " CUDA libraries, or set the provider to cpu"
            )
        self.provider: str = provider.value
        self.precision: str = Precision.FP32.value
        self._inputs = [one.name for one in self._session.get_inputs()]

    def __call__(self, *inputs: Array) -> list[Array]:
        if self.provider == Provider.CUDA:
            count = len(inputs[0])
            return [output[:count] for output in self._run([_filled_up(one) for one in inputs])]
        return self._run(inputs)

    def _run(self, inputs: Sequence[Array]) -> list[Array]:
        fed = dict(zip(self._inputs, inputs, strict=True))
        outputs: list[Array] = self._session.run(None, fed)
        return outputs


def _filled_up(batch: Array) -> Array:
    missing = bucket_of(len(batch)) - len(batch)
    if not missing:
        return batch
    return np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), batch.dtype)])


_first_use = Lock()


def _openvino() -> Any:
    """The library. Its import reports to its maker where openvino-telemetry is installed, which it
    requires: hidden, that package is done without. Raises ModuleNotFoundError."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    with _first_use:
        import openvino

        # Its two tables of numpy's types are C++ statics that are filled when first asked for, and
        # filling them hands the interpreter lock on. A thread that gets it and asks too waits for
        # the table with that lock in hand: for ever, and no other thread runs again (seen with
        # 2026.4). So both are filled here, where one thread at a time may ask.
        openvino.Type.f32.to_dtype()
        openvino.Tensor(np.zeros(1, np.float32))

    return openvino


class OpenVinoSession:
    """OpenVINO on CPU. Precision is pinned: left alone it picks bf16 where the processor has it,
    and thresholds would shift."""

    def __init__(self, path: Path, precision: Precision, lanes: int, threads: int) -> None:
        try:
            core = _openvino().Core()
        except ImportError as error:
            raise Unavailable(
                "OpenVINO is not installed: install the openvino extra, or set the provider to cpu"
            ) from error
        if precision is Precision.BF16 and "BF16" not in _capabilities(core):
            # Asked for it nonetheless, OpenVINO computes in fp32 and says nothing.
            raise Unavailable("this processor has no bf16: set the precision to fp32")
        hint = "bf16" if precision is Precision.BF16 else "f32"
        wishes = {
            "INFERENCE_PRECISION_HINT": hint,
            # A stream does one pass at a time: with one alone, the other lanes would wait.
            "NUM_STREAMS": lanes,
            "INFERENCE_NUM_THREADS": lanes * threads,
            # Several services share the cores, and each would pin itself to the first ones.
            "ENABLE_CPU_PINNING": False,
        }
        # In a thread that ends here: OpenVINO leaves its caller with an alternate signal stack that
        # it has freed, and a main thread dies of that at the next signal (seen with 2026.4).
        with ThreadPoolExecutor(1) as passing:
            model = core.read_model(str(path))
            self._model = passing.submit(core.compile_model, model, "CPU", wishes).result()
        self.provider: str = Provider.OPENVINO.value
        self.precision: str = precision.value
        self.lanes: int = self._model.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")

    def __call__(self, *inputs: Array) -> list[Array]:
        # A request of its own for every call: requests must not be shared between threads.
        request = self._model.create_infer_request()
        request.infer(list(inputs), share_inputs=True)
        return [_own(tensor.data) for tensor in request.output_tensors]


def has_bf16() -> bool:
    """Whether OpenVINO is installed and can compute in bf16 on this processor."""
    return has_openvino() and "BF16" in _capabilities(_openvino().Core())


def _capabilities(core: Any) -> list[str]:
    capabilities: list[str] = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return capabilities


def _own(data: NDArray[np.float32]) -> Array:
    """A copy that outlives the request."""
    return np.array(data, dtype=np.float32)
