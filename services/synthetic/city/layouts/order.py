"""What a data set should be like, and who wants to hear how far it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.synthetic.city.plan import CityPlan
    from shared.data_folder import DataFolder

Progress = Callable[[int, int], None]
"""Is told the frames done and the frames in all."""

Cancelled = Callable[[], bool]
"""Is asked before each frame."""


@dataclass(frozen=True)
class DatasetSettings:
    """All numbers are ours.

    clip_s: length of a clip; test_s: test footage of each camera; test_anomaly_every_s: mean time
    between the starts of its anomalies (clips). train_share: of the people, those who train;
    whole: least visible fraction of a crop; jitter: how far, in fractions of the box, its edges
    are moved (persons). quality: of the JPEG files.
    """

    clip_s: float = 20.0
    test_s: float = 120.0
    test_anomaly_every_s: float = 8.0
    train_share: float = 0.5
    whole: float = 0.65
    jitter: float = 0.04
    quality: int = 92


@dataclass
class Order:
    """A data set to be written. It counts its frames, and stops for good once cancelled."""

    plan: CityPlan
    folder: DataFolder
    settings: DatasetSettings
    progress: Progress
    cancelled: Cancelled
    total: int = 0
    done: int = 0
    stopped: bool = False

    def goes_on(self) -> bool:
        """Whether the next frame is still wanted; it is counted if so."""
        self.stopped = self.stopped or self.cancelled()
        if not self.stopped:
            self.done += 1
            self.progress(self.done, self.total)
        return not self.stopped
