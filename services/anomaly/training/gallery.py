"""Test clips and their errors -> a picture of what the model saw: frame, reconstruction, error map.

As Figures 4 to 6 of Zhao et al. (ACM MM 2017); beside the frame of each clip that looks most
abnormal to the model stands the one that looks quietest, on the same scale of error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.anomaly.core.clip import gray_clip
from services.anomaly.scorer import Scorer
from services.anomaly.training.footage import read_frame
from services.anomaly.training.protocols import padded
from shared.errors import Missing, Unavailable
from shared.inference import Provider, open_session

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from services.anomaly.core.evaluation import ScoredVideo
    from services.anomaly.training.protocols import TestClip
    from services.anomaly.training.regimes import RegimeSettings
    from shared.model_store import StoredModel

PANELS = ("frame", "reconstruction", "error map")


@dataclass(frozen=True, eq=False)
class Scene:
    """One frame as the model saw it. frame, reconstruction: (H, W) in [0, 1]. error_map: (R, K).
    aspect: height of the camera's frame over its width."""

    title: str
    frame: NDArray[np.float32]
    reconstruction: NDArray[np.float32]
    error_map: NDArray[np.float32]
    aspect: float


def chosen_clips(
    clips: Sequence[TestClip], videos: Sequence[ScoredVideo], names: Sequence[str] | None
) -> list[tuple[TestClip, ScoredVideo]]:
    """names: of the clips to draw, in their order; None or nothing: all. videos: the clips'.

    Raises Missing (`no_footage`) for a name that no clip has.
    """
    known = {video.name: (clip, video) for clip, video in zip(clips, videos, strict=True)}
    if unknown := [name for name in names or () if name not in known]:
        raise Missing(f"no clips {', '.join(unknown)}", code="no_footage")
    return [known[name] for name in names or known]


def draw_gallery(
    model: StoredModel,
    scenes: Sequence[tuple[TestClip, ScoredVideo]],
    file: Path,
    settings: RegimeSettings,
) -> None:
    """Writes a PNG, a row per clip. scenes: with the errors as served under these settings.

    Raises Unavailable where matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise Unavailable("a gallery needs matplotlib: pip install matplotlib") from error
    scorer = Scorer(model, open_session(model.path, provider=Provider.CPU))
    figure = Figure(figsize=(13.0, 1.9 * len(scenes) + 0.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(scenes), 2 * len(PANELS), squeeze=False)
    for row, (clip, video) in zip(axes, scenes, strict=True):
        worst, quiet = (
            scene(scorer, clip, int(frame), float(video.errors[frame]), settings)
            for frame in (np.argmax(video.errors), np.argmin(video.errors))
        )
        ceiling = float(worst.error_map.max())
        _draw(row[: len(PANELS)], worst, ceiling)
        _draw(row[len(PANELS) :], quiet, ceiling)
    figure.suptitle(f"{model.card.name}: each clip's most abnormal-looking frame, and its quietest")
    figure.savefig(file, dpi=100)


def scene(
    scorer: Scorer, clip: TestClip, frame: int, error: float, settings: RegimeSettings
) -> Scene:
    """A frame out of the window that owns it. error: what was said of it, for the title."""
    whole = padded(clip.recording, to=scorer.frames_per_clip)
    position = frame + len(whole) - len(clip.recording)
    window = next(
        start
        for start, owned_from in settings.owned_windows(len(whole), clip=scorer.frames_per_clip)
        if start + owned_from <= position < start + scorer.frames_per_clip
    )
    shown = whole.frames[window : window + scorer.frames_per_clip]
    pixels = [read_frame(path, scorer.decodes) for path in shown]
    errors = scorer.score(pixels, whole.unwatched, with_reconstruction=True)
    reconstruction = errors.reconstruction
    if reconstruction is None:
        raise Missing(f"the model of {clip.recording.name} reconstructs nothing")
    within = position - window
    truth = "abnormal" if clip.abnormal[frame] else "normal"
    seen = gray_clip([pixels[within]], width=scorer.width, height=scorer.height)[0]
    return Scene(
        title=f"{clip.recording.name}, frame {frame + 1} ({truth}): {error:.4f}",
        frame=seen.astype(np.float32) / 255.0,
        reconstruction=reconstruction[within],
        error_map=errors.maps[within],
        aspect=pixels[within].shape[0] / pixels[within].shape[1],
    )


def _draw(panels: Sequence[Axes], scene: Scene, ceiling: float) -> None:
    pictures = (scene.frame, scene.reconstruction, scene.error_map)
    tops = (1.0, 1.0, ceiling)
    colours = ("gray", "gray", "inferno")
    for panel, name, picture, top, colour in zip(
        panels, PANELS, pictures, tops, colours, strict=True
    ):
        aspect = scene.aspect * picture.shape[1] / picture.shape[0]
        panel.imshow(picture, cmap=colour, vmin=0.0, vmax=top or 1.0, aspect=aspect)
        panel.set_xlabel(name, fontsize=7)
        panel.set_xticks([])
        panel.set_yticks([])
    panels[1].set_title(scene.title, fontsize=8)
