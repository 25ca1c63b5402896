"""Contenders that take turns: other work on the machine slows them alike, and medians of ratios
stand."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import median

import numpy as np

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "7"))
TURN_S = 2.0
"""How long a contender works in each round, about."""


@dataclass(frozen=True)
class Turn:
    """core_ms: processor time that one thing took, whatever else the cores did."""

    per_s: float
    core_ms: float


@dataclass
class Contender:
    """of, goal: for a service, the bare model that it is measured against, and the share of its
    rate that is wanted."""

    name: str
    turn: Callable[[], Awaitable[Turn]]
    of: str | None = None
    goal: float | None = None
    turns: list[Turn] = field(default_factory=list)

    @property
    def per_s(self) -> float:
        return median(turn.per_s for turn in self.turns)

    @property
    def core_ms(self) -> float:
        return median(turn.core_ms for turn in self.turns)

    def rate_against(self, base: Contender) -> float:
        """The median over rounds of the ratio of rates within a round."""
        return median(one.per_s / other.per_s for one, other in self._rounds(base))

    def thrift_against(self, base: Contender) -> float:
        """The same of processor time: 2 where the base takes twice as much."""
        return median(other.core_ms / one.core_ms for one, other in self._rounds(base))

    def _rounds(self, base: Contender) -> Iterable[tuple[Turn, Turn]]:
        return zip(self.turns, base.turns, strict=True)


class Bare:
    """A batch that goes through a function over and over, on so many lanes side by side."""

    def __init__(
        self, run: Callable[[np.ndarray], object], batch: np.ndarray, lanes: int, turn_s: float
    ) -> None:
        self._run, self._batch, self._lanes = run, batch, lanes
        self._threads = ThreadPoolExecutor(lanes)
        run(batch)  # the first pass prepares more than it computes
        began = time.perf_counter()
        run(batch)
        self._passes = max(1, math.ceil(turn_s / (time.perf_counter() - began)))

    async def turn(self) -> Turn:
        return await asyncio.to_thread(self._turn)

    def _turn(self) -> Turn:
        began, spent_s = time.perf_counter(), time.process_time()
        list(self._threads.map(self._lane, range(self._lanes)))
        done = self._lanes * self._passes * len(self._batch)
        return Turn(
            per_s=done / (time.perf_counter() - began),
            core_ms=1000 * (time.process_time() - spent_s) / done,
        )

    def _lane(self, _number: int) -> None:
        for _ in range(self._passes):
            self._run(self._batch)


async def measure(contenders: list[Contender]) -> None:
    """Interleaved rounds, each beginning with another contender."""
    for turn in range(ROUNDS):
        begin = turn % len(contenders)
        for contender in contenders[begin:] + contenders[:begin]:
            contender.turns.append(await contender.turn())
