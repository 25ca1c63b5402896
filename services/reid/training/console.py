"""Progress -> lines that a person waiting at a terminal can use."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.reid.training.schedule import Progress

EVERY_S = 20.0


class Console:
    """Prints at most one line in EVERY_S."""

    def __init__(self) -> None:
        self._printed_at = -EVERY_S

    def training(self, progress: Progress) -> None:
        if not self._due():
            return
        losses = "  ".join(f"{name} {value:.3f}" for name, value in progress.losses.items())
        print(
            f"epoch {progress.epoch + 1}/{progress.epochs}  step {progress.step}/{progress.steps}"
            f"  {losses}  {progress.seconds_a_step:.2f} s/step"
            f"  {_clock(progress.seconds_left)} left",
            flush=True,
        )

    def embedding(self, done: int, total: int) -> None:
        if self._due() or done == total:
            print(f"embedded {done} of {total} crops", file=sys.stderr, flush=True)

    def _due(self) -> bool:
        now = time.monotonic()
        if now - self._printed_at < EVERY_S:
            return False
        self._printed_at = now
        return True


def _clock(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"
