"""Scored test videos -> a picture of their regularity, abnormal spans shaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from services.anomaly.core.alarms import true_spans
from services.anomaly.core.regularity import regularity
from shared.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from services.anomaly.core.evaluation import ScoredVideo

COLUMNS = 3


def draw_curves(videos: Sequence[ScoredVideo], file: Path, *, title: str) -> None:
    """Writes a PNG, one plot per video. Raises Unavailable where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise Unavailable("curves need matplotlib: pip install matplotlib") from error
    rows = -(-len(videos) // COLUMNS)
    figure = Figure(figsize=(4.5 * COLUMNS, 1.8 * rows + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, COLUMNS, squeeze=False, sharey=True).ravel()
    for panel, video in zip(axes, videos, strict=False):
        _draw(panel, video)
    for unused in axes[len(videos) :]:
        unused.set_visible(False)
    figure.suptitle(f"{title}: regularity by frame; shaded is abnormal")
    figure.savefig(file, dpi=100)


def _draw(panel: Axes, video: ScoredVideo) -> None:
    panel.plot(regularity(np.asarray(video.errors)), linewidth=1.2, color="#1f4e79")
    for span in true_spans(video.abnormal):
        panel.axvspan(span.start, span.stop - 1, color="#d9534f", alpha=0.25, linewidth=0)
    panel.set_title(video.name, fontsize=9)
    panel.set_xlim(0, len(video.errors) - 1)
    panel.set_ylim(0.0, 1.05)
    panel.tick_params(labelsize=7)
