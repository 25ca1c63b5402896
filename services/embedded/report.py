"""A scorecard -> tables for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.progress_bar import ProgressBar
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.embedded.demo import Scorecard


def progress_line(city_s: float, total_s: float, alerts: int, people: int) -> Table:
    """How far the footage is, and what was found in it so far."""
    line = Table.grid(padding=(0, 2))
    line.add_row(
        "the city lives",
        ProgressBar(total=total_s, completed=city_s, width=32),
        f"{city_s:.0f} of {total_s:.0f} s",
        f"{alerts} alerts",
        f"{people} people",
    )
    return line


def tables(card: Scorecard) -> Iterator[Table]:
    """Alerts, trajectories and the account of every frame."""
    yield _alerts(card)
    yield _trajectories(card)
    yield _frames(card)


def _alerts(card: Scorecard) -> Table:
    figures = card.alerts
    table = Table(
        "raised",
        "true",
        "precision",
        "anomalies",
        "found",
        "recall",
        "mean delay",
        title=f"Alerts, {card.seconds:.0f} s of four cameras, against the ground truth",
    )
    delay = figures.mean_delay_s
    table.add_row(
        str(figures.raised),
        str(figures.true),
        f"{figures.precision:.2f}",
        str(figures.anomalies),
        str(figures.found),
        f"{figures.recall:.2f}",
        "-" if delay is None else f"{delay:.1f} s",
    )
    return table


def _trajectories(card: Scorecard) -> Table:
    figures = card.trajectories
    table = Table(
        "people",
        "looks",
        "IDF1",
        "ID switches",
        "recall",
        "precision",
        "true across cameras",
        title="Trajectories, boxes at IoU 0.5, ids over all cameras",
    )
    table.add_row(
        str(figures.people),
        str(figures.looks),
        f"{figures.idf1:.2f}",
        str(figures.switches),
        f"{figures.recall:.2f}",
        f"{figures.precision:.2f}",
        str(figures.crossings),
    )
    return table


def _frames(card: Scorecard) -> Table:
    account = card.account
    table = Table(
        "pushed",
        "accepted",
        "thinned",
        "by",
        "done",
        "unscored",
        "dropped",
        "dead",
        "in flight",
        title="Frames: accepted = thinned + what became of the others",
    )
    for group, outcomes in account["groups"].items():
        table.add_row(
            str(card.pushed),
            str(account["accepted"]),
            str(account["thinned"]),
            group,
            str(outcomes["done"]),
            str(outcomes["unscored"]),
            str(outcomes["expired"] + outcomes["shed"]),
            str(outcomes["dead"]),
            str(outcomes["in_flight"]),
        )
    return table
