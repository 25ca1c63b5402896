"""A plan -> everybody who walks through the city, and where they are at any time."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import TYPE_CHECKING

import numpy as np

from services.synthetic.city.chance import stream
from services.synthetic.city.drawing.stance import Stance
from services.synthetic.city.people.gait import WALK, Posture
from services.synthetic.city.presence import Body, Obstacle

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from services.synthetic.city.plan import CityPlan
    from services.synthetic.city.scenery.block import Block
    from services.synthetic.city.scenery.street import View

WARM_UP_S = 90.0
"""People set out so long before the first frame, so that the streets are full from the start."""

SLOWEST, FASTEST = 1.02, 1.58
"""Metres a second."""

LANE_HALF_M = 1.6
"""Walkers keep to |v| <= this."""

STRETCHES = (2, 3, 4, 5, 6)
STRETCHES_SHARE = (0.14, 0.28, 0.34, 0.12, 0.12)
"""How many stretches of the block people walk (ours): over four, and they come by again."""

PAIRS = 0.12
"""Share of people who walk beside a companion (ours)."""


@dataclass(frozen=True)
class Walker:
    """Sets out at enter_s from enter_m (metres along the block's ring) and walks length_m.

    sway_m, sway_s, phase: of the slow weave in the lane, and the beat of the steps.
    """

    person_id: int
    enter_s: float
    enter_m: float
    length_m: float
    speed: float
    lane: float
    sway_m: float
    sway_s: float
    phase: float
    height_m: float

    @property
    def leave_s(self) -> float:
        return self.enter_s + self.length_m / self.speed

    def body(self, time_s: float, u: float, direction: int, obstacles: Iterable[Obstacle]) -> Body:
        """The walker at a place of a site, stepping aside for what stands in the way."""
        walked = (time_s - self.enter_s) * self.speed
        turn = 2 * math.pi * time_s / self.sway_s + self.phase
        v = self.lane + self.sway_m * math.sin(turn)
        drift = self.sway_m * math.cos(turn) * 2 * math.pi / self.sway_s
        for obstacle in obstacles:
            v = stepped_aside(u, v, obstacle)
        heading = math.atan2(drift, self.speed * direction)
        return Body(
            self.person_id, Posture(WALK, beat(walked, self) + self.phase), Stance(u, v, heading)
        )


def beat(walked_m: float, walker: Walker) -> float:
    """Phase of the stride, so that the feet do not slide: taller and faster people step wider."""
    stride = WALK.stride_m * walker.height_m / 1.7 * math.sqrt(walker.speed / 1.3)
    return 2 * math.pi * walked_m / stride


def stepped_aside(u: float, v: float, obstacle: Obstacle) -> float:
    """v after making way: the whole lane is squeezed to the roomier side, softly over 4 m."""
    ahead = max(abs(u - obstacle.u) - obstacle.half_m, 0.0)
    near = max(0.0, 1.0 - ahead / 4.0)
    weight = near * near * (3 - 2 * near)
    side = -1.0 if obstacle.v >= 0 else 1.0
    limit = obstacle.v + side * obstacle.clearance_m
    wall = side * LANE_HALF_M
    share = (v - wall) / (-2 * wall)
    squeezed = wall + share * (limit - wall)
    return v + weight * (squeezed - v)


class Walkers:
    """All walkers of a city, found by place and time."""

    def __init__(self, plan: CityPlan, block: Block, heights_m: Sequence[float]) -> None:
        """heights_m: of the people in order of their ids, from 1; as many as `how_many` says."""
        rng = stream(plan.seed, "walkers")
        self.walkers = _set_out(rng, departures(plan), block, heights_m)
        self._longest_s = block.stretch_m / SLOWEST
        self._passages = [self._passing(block, n) for n in range(plan.cameras)]

    def _passing(self, block: Block, site: int) -> list[tuple[float, float, Walker, float]]:
        """(from_s, to_s, walker, metre of the ring where the site's middle is passed)."""
        passages = []
        for walker in self.walkers:
            for middle in block.passes(site, walker.enter_m, walker.length_m):
                first = max((middle - block.half_m - walker.enter_m) / walker.speed, 0.0)
                last = min(
                    (middle + block.half_m - walker.enter_m) / walker.speed,
                    walker.length_m / walker.speed,
                )
                passages.append((walker.enter_s + first, walker.enter_s + last, walker, middle))
        return sorted(passages, key=lambda passage: passage[0])

    def at(self, site: int, time_s: float, view: View, obstacles: Sequence[Obstacle]) -> list[Body]:
        """Everybody whom the site's camera may see, in the order in which they came."""
        first_u, last_u = view.span[0] - 1.0, view.span[1] + 1.0
        passages = self._passages[site]
        begin = bisect_left(passages, time_s - self._longest_s, key=itemgetter(0))
        end = bisect_right(passages, time_s, key=itemgetter(0))
        bodies = []
        for _, last, walker, middle in passages[begin:end]:
            if time_s <= last:
                along = walker.enter_m + (time_s - walker.enter_s) * walker.speed - middle
                if first_u < (u := view.stream * along) < last_u:
                    bodies.append(walker.body(time_s, u, view.stream, obstacles))
        return bodies


def departures(plan: CityPlan) -> list[float]:
    """When each walker sets out; their number is the number of people without the actors."""
    rng = stream(plan.seed, "departures")
    if not plan.people_per_minute:
        return []
    mean_gap = 60.0 / plan.people_per_minute
    times, now = [], -WARM_UP_S
    while (now := now + 0.5 * mean_gap + float(rng.exponential(0.5 * mean_gap))) < plan.duration_s:
        times.append(now)
    return times


def _set_out(
    rng: np.random.Generator, times: Sequence[float], block: Block, heights_m: Sequence[float]
) -> list[Walker]:
    walkers: list[Walker] = []
    entries = _entries(rng, block.stretches)
    while len(walkers) < len(times):
        n = len(walkers)
        walker = Walker(
            person_id=n + 1,
            enter_s=times[n],
            enter_m=next(entries) * block.stretch_m,
            length_m=float(rng.choice(STRETCHES, p=STRETCHES_SHARE)) * block.stretch_m,
            speed=float(np.clip(rng.normal(1.3, 0.13), SLOWEST, FASTEST)),
            lane=0.0,
            sway_m=float(rng.uniform(0.03, 0.12)),
            sway_s=float(rng.uniform(5, 9)),
            phase=float(rng.uniform(0, 2 * math.pi)),
            height_m=heights_m[n],
        )
        walkers.append(_in_free_lane(rng, walker, walkers[-50:], block.ring_m))
        if len(walkers) < len(times) and rng.random() < PAIRS:
            walkers.append(_companion(rng, walkers[-1], heights_m[n + 1]))
    return walkers


def _entries(rng: np.random.Generator, stretches: int) -> Iterator[int]:
    """Every corner of the block once, round after round, so that no street stays empty for long."""
    while True:
        yield from rng.permutation(stretches).tolist()


def _companion(rng: np.random.Generator, walker: Walker, height_m: float) -> Walker:
    side = -1.0 if walker.lane > 0 else 1.0
    return replace(
        walker,
        person_id=walker.person_id + 1,
        lane=walker.lane + side * float(rng.uniform(0.55, 0.7)),
        enter_s=walker.enter_s + float(rng.uniform(-0.15, 0.15)),
        phase=float(rng.uniform(0, 2 * math.pi)),
        height_m=height_m,
    )


def _in_free_lane(
    rng: np.random.Generator, walker: Walker, others: Sequence[Walker], ring_m: float
) -> Walker:
    """The walker in the lane, of some tried, where they would walk through the fewest others."""
    lanes = rng.uniform(-LANE_HALF_M, LANE_HALF_M, 8).tolist()
    tried = [replace(walker, lane=lane) for lane in lanes]
    return min(tried, key=lambda it: sum(_collide(it, other, ring_m) for other in others))


def _collide(one: Walker, other: Walker, ring_m: float) -> bool:
    first = max(one.enter_s, other.enter_s)
    together = min(one.leave_s, other.leave_s) - first
    if together <= 0 or abs(one.lane - other.lane) > 0.5:
        return False
    where = one.enter_m + (first - one.enter_s) * one.speed
    there = other.enter_m + (first - other.enter_s) * other.speed
    ahead = (there - where + ring_m / 2) % ring_m - ring_m / 2
    later = ahead + together * (other.speed - one.speed)
    return ahead * later < 0 or min(abs(ahead), abs(later)) < 0.8
