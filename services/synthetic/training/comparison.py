"""Outcomes of several seeds -> what made data is worth: a table, figures, curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import matplotlib as mpl
import numpy as np
from scipy.stats import t as student

from services.synthetic.training.characters import BASELINES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from services.synthetic.training.characters import Outcome

mpl.use("agg")
from matplotlib import pyplot as plt

CONFIDENCE = 0.95


class Removed(NamedTuple):
    """Shares of the best baseline's errors that are gone; negative: there are more. low, high: of
    95 %, Student's, of the differences within each seed."""

    mean: float
    low: float
    high: float


class Comparison:
    """seeds: the outcomes of each, two or more, by arm; all have the same arms."""

    def __init__(self, seeds: Sequence[Mapping[str, Outcome]]) -> None:
        self._seeds = seeds
        self.arms = tuple(seeds[0])
        self.best = min(BASELINES, key=lambda arm: float(self._errors(arm).mean()))

    def removed(self, arm: str) -> Removed:
        """The best baseline is the one with fewer errors over all seeds."""
        before = self._errors(self.best)
        # Where a baseline reads all, nothing can be removed.
        shares = (before - self._errors(arm)) / (before.mean() or 1)
        mean, count = float(shares.mean()), len(shares)
        reach = student.ppf((1 + CONFIDENCE) / 2, count - 1) * shares.std(ddof=1) / count**0.5
        return Removed(mean, mean - float(reach), mean + float(reach))

    @property
    def table(self) -> str:
        lines = [f"{'learnt from':28} misread          mean of classes  errors removed, 95 %"]
        for arm in self.arms:
            errors, classes = self._errors(arm), self._by_class(arm)
            line = (
                f"{arm:28} {errors.mean():6.2%} +- {errors.std(ddof=1):.2%}   {classes.mean():8.2%}"
            )
            if arm != self.best:
                removed = self.removed(arm)
                line += f"         {removed.mean:6.1%} ({removed.low:.1%} to {removed.high:.1%})"
            lines.append(line)
        return "\n".join(lines)

    @property
    def figures(self) -> dict[str, object]:
        """Errors a seed, and what each arm removes of the best baseline's."""
        return {
            "seeds": len(self._seeds),
            "best_baseline": self.best,
            "errors": {arm: self._errors(arm).tolist() for arm in self.arms},
            "errors_by_class": {arm: float(self._by_class(arm).mean()) for arm in self.arms},
            "removed": {
                arm: self.removed(arm)._asdict() for arm in self.arms if arm not in BASELINES
            },
        }

    def draw(self, path: Path) -> None:
        """Writes a PNG: accuracy over iterations, mean of the seeds, without and with classical
        augmentation."""
        figure, panels = plt.subplots(1, 2, figsize=(11, 4.5), sharey=True)
        for panel, baseline in zip(panels, BASELINES, strict=True):
            for arm in self.arms:
                if arm != baseline and not arm.startswith(f"{baseline} +"):
                    continue
                curves = np.array([seed[arm].curve for seed in self._seeds]).mean(axis=0)
                panel.plot(curves[:, 0], curves[:, 1], marker=".", label=arm)
            panel.set_xlabel("iterations")
            panel.legend()
            panel.grid(alpha=0.3)
        panels[0].set_ylabel("held-out characters read rightly")
        figure.tight_layout()
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=110)
        plt.close(figure)

    def _errors(self, arm: str) -> NDArray[np.float64]:
        return np.array([seed[arm].errors for seed in self._seeds])

    def _by_class(self, arm: str) -> NDArray[np.float64]:
        return np.array([seed[arm].by_class for seed in self._seeds])
