"""What an evaluation found -> figures by name, and a table of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.reid.core.outcome import Outcome

SEED = 0


def figures_of(outcome: Outcome) -> dict[str, float | int]:
    """As `--json` prints them: shares between 0 and 1, their spreads, and counts."""
    return {
        **outcome.figures,
        **outcome.spread(np.random.default_rng(SEED)),
        "trials": len(outcome.rankings),
        "queries": outcome.queries,
        "gallery": outcome.gallery,
    }


def table(figures: Mapping[str, float | int]) -> str:
    """A line per figure, its spread beside it."""
    spreads = ("_low", "_high", "_sd")
    return "\n".join(
        f"{name:>13}  {_shown(value)}{_spread(name, figures)}"
        for name, value in figures.items()
        if not name.endswith(spreads)
    )


def _shown(value: float) -> str:
    return f"{value:6}" if isinstance(value, int) else f"{value:6.1%}"


def _spread(name: str, figures: Mapping[str, float | int]) -> str:
    if f"{name}_low" in figures:
        return f"  [{figures[f'{name}_low']:.1%}, {figures[f'{name}_high']:.1%}]"
    return f"  sd {figures[f'{name}_sd']:.1%}" if f"{name}_sd" in figures else ""
