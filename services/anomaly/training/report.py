"""An evaluation -> the table that people read, and the figures that programs do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.anomaly.core.bootstrap import auc_gain
from services.anomaly.core.evaluation import of_both_classes, separations
from services.anomaly.training.regimes import Regime

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from services.anomaly.training.evaluation import Evaluation
    from services.anomaly.training.judge import JudgeSettings, Row, Rows

PREFIXES = {Regime.OFFLINE: "", Regime.SERVED: "served_"}
"""Of the figures' names. Published figures are offline, so these have the plain names."""

CONVENTIONS = ("video_normalised", "raw", "macro")


def table(model: str, found: Evaluation, *, fps: float) -> str:
    """fps: of the footage, for alarms per hour."""
    lines = list(side_by_side({model: found.model, **found.baselines}))
    alarms = found.alarms
    lines.append(
        f"as served, at the card's q999: {alarms.found} of {alarms.events} events found,"
        f" {alarms.false_alarms} false alarms"
        f" ({alarms.false_alarms_per_hour(fps):.1f} an hour at {fps:g} frames/s)"
    )
    lines += found.remarks
    lines.append(f"{found.frames} frames; {found.frames_per_s:.0f} frames/s through the scorer")
    return "\n".join(lines)


def side_by_side(scorers: Mapping[str, Rows]) -> Iterator[str]:
    """Lines of a table. scorers: by name, in their order."""
    yield "AUC [95 % of resamples of whole clips] / EER"
    yield _line("", "", ["video-normalised", "raw", "macro"])
    for name, rows in scorers.items():
        yield from (_line(name, regime, _cells(row)) for regime, row in rows.items())
    yield from _both_classes(scorers)
    yield from _localisation(scorers)


def gains(
    of: str, over: str, scorers: Mapping[str, Rows], settings: JudgeSettings
) -> Iterator[str]:
    """By how much one scorer's raw AUC is above another's on the same clips, drawn alike."""
    yield f"raw AUC of {of} less that of {over} [95 % of resamples of whole clips]"
    for regime, row in scorers[of].items():
        other = scorers[over][regime]
        gain = row.separations.raw.auc - other.separations.raw.auc
        low, high = auc_gain(other.videos, row.videos, draws=settings.draws, seed=settings.seed)
        yield _line("", regime, [f"{gain:+.3f} [{low:+.3f} to {high:+.3f}]"])


def figures(found: Evaluation, *, fps: float) -> dict[str, float]:
    """Flat, for a model's card; rates are fractions between 0 and 1. The plain names are offline,
    those that begin with `served_` as served. `eer` is the video-normalised one, as it stands
    beside published figures."""
    return {
        **_of_rows(found.model),
        "event_recall_at_q999": found.alarms.recall,
        "false_alarms_per_hour_at_q999": found.alarms.false_alarms_per_hour(fps),
        "frames": found.frames,
        "frames_per_s": found.frames_per_s,
    }


def report(found: Evaluation, *, fps: float) -> dict[str, Any]:
    """What `--json` prints: the model's figures, `baselines` with theirs, `remarks`."""
    return {
        **figures(found, fps=fps),
        "baselines": {
            name.replace(" ", "_"): _of_rows(rows) for name, rows in found.baselines.items()
        },
        "remarks": list(found.remarks),
    }


def _of_rows(rows: Rows) -> dict[str, float]:
    return {
        PREFIXES[regime] + name: figure
        for regime, row in rows.items()
        for name, figure in _of_row(row)
    }


def _of_row(row: Row) -> Iterator[tuple[str, float]]:
    for convention in CONVENTIONS:
        yield f"auc_{convention}", getattr(row.separations, convention).auc
        interval = getattr(row.intervals, convention)
        yield f"auc_{convention}_low", interval.low
        yield f"auc_{convention}_high", interval.high
    yield "eer", row.separations.video_normalised.eer
    yield "eer_raw", row.separations.raw.eer
    yield "eer_macro", row.separations.macro.eer
    if row.localisation is not None:
        yield "pixel_auc", row.localisation.pixel_auc
        yield "localisation_auc", row.localisation.auc
        yield "localisation_eer", row.localisation.eer


def _line(name: str, regime: str, cells: list[str]) -> str:
    return f"{name:32}{regime:11}" + "".join(f"{cell:>28}" for cell in cells)


def _cells(row: Row) -> list[str]:
    cells = []
    for convention in CONVENTIONS:
        found = getattr(row.separations, convention)
        low, high = getattr(row.intervals, convention)
        cells.append(f"{found.auc:.3f} [{low:.3f}-{high:.3f}] / {found.eer:.3f}")
    return cells


def _both_classes(scorers: Mapping[str, Rows]) -> Iterator[str]:
    """What the two conventions that a video of one class distorts say without such videos."""
    any_videos = next(iter(scorers.values()))[Regime.SERVED].videos
    left_out = len(any_videos) - len(of_both_classes(any_videos))
    if not 0 < left_out < len(any_videos):
        return
    yield f"AUC without the {left_out} of {len(any_videos)} clips that are of one class"
    yield _line("", "", ["video-normalised", "raw", "macro"])
    for name, rows in scorers.items():
        for regime, row in rows.items():
            found = separations(of_both_classes(row.videos))
            cells = [f"{getattr(found, convention).auc:.3f}" for convention in CONVENTIONS]
            yield _line(name, regime, cells)


def _localisation(scorers: Mapping[str, Rows]) -> Iterator[str]:
    located = [
        (name, regime, row.localisation)
        for name, rows in scorers.items()
        for regime, row in rows.items()
        if row.localisation is not None
    ]
    if located:
        yield _line("", "", ["pixel AUC", "40 % of pixels: AUC / EER"])
    for name, regime, found in located:
        yield _line(name, regime, [f"{found.pixel_auc:.3f}", f"{found.auc:.3f} / {found.eer:.3f}"])
