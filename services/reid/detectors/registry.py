"""A detector's name -> the detector."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.reid.detectors.background import BackgroundDetector
from services.reid.detectors.yolox import YoloxDetector
from shared.errors import Missing
from shared.inference import Provider, open_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from services.reid.detectors.detector import Detector


def _background(_model: Path | None, _provider: Provider) -> Detector:
    return BackgroundDetector()


def _yolox(model: Path | None, provider: Provider) -> Detector:
    if model is None or not model.is_file():
        raise Missing(
            f"the yolox detector needs the path of its ONNX file; {model} is none",
            code="detector_model",
        )
    return YoloxDetector(open_session(model, provider=provider))


DETECTORS: dict[str, Callable[[Path | None, Provider], Detector]] = {
    "background": _background,
    "yolox": _yolox,
}


def open_detector(
    name: str, *, model: Path | None = None, provider: Provider = Provider.AUTO
) -> Detector:
    """model: the ONNX file of a detector that needs one.

    Raises Missing for an unknown name (`unknown_detector`) or an absent file (`detector_model`).
    """
    if name not in DETECTORS:
        raise Missing(
            f"no detector {name!r}; there are: {', '.join(DETECTORS)}", code="unknown_detector"
        )
    return DETECTORS[name](model, provider)
