"""A clip's look and its camera's usual ones -> signs that the camera was tampered with.

A camera has up to two usual looks, by day and by night, learnt slowly from what shows no sign; they
are a value that goes into bytes between clips. All formulas and constants here are ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import numpy as np
import ormsgpack
from pydantic import BaseModel, ConfigDict, Field

from services.anomaly.core.look import EDGE_HEIGHT, EDGE_WIDTH, Look, kept
from shared.clock import SECOND_US
from shared.errors import Corrupt
from shared.messages import TamperingSigns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.anomaly.core.look import Edges

Share = Annotated[float, Field(gt=0, lt=1)]
Seconds = Annotated[float, Field(gt=0)]

FINE_PX, COARSE_PX = 1.0, 4.0
"""Blur of two edge maps before they are compared: fine tells a view that was moved, coarse tells
whether an unsharp view is the same one."""

FINE_FLOOR, COARSE_FLOOR = 4.0, 2.0
"""Standard deviation of a cell's edges under which it has none to compare."""

MOST_LOOKS = 2
LONGEST_STEP_S = 10.0
"""A pause between clips teaches no more than this."""

EDGE_SCALE = 256
"""Remembered edges are sixteen bits a pixel: a slow mean moves in fractions of a level."""


class TamperingSettings(BaseModel):
    """Chosen on the simulated city and on real footage; DECISIONS.md has the evidence.

    covered_below: share of the usual coarse detail, and of the usual edges in their places, under
    which a camera is covered. defocused_below: share of the usual sharpness. moved_below: share of
    the view whose edges are where they were. frozen_below: share of the calmest difference between
    frames that the camera has shown.
    min_calm: gray levels; a camera whose frames have differed by less than this is never called
    frozen. same_view: coarse agreement from which an unsharp view is the usual one; far_unsharp: a
    share of sharpness so small that no other view explains it. steady: agreement with the clip
    before, without which something large is passing.
    standing_s: camera time that a look takes to stand; nothing is told before. learn_s: in which
    it follows what changes slowly. settle_s: after which another view, or another sharpness,
    becomes a usual one of the camera's.
    """

    model_config = ConfigDict(frozen=True)

    covered_below: Share = 0.35
    defocused_below: Share = 0.45
    moved_below: Share = 0.5
    frozen_below: Share = 0.05
    min_calm: Annotated[float, Field(gt=0)] = 0.1
    same_view: Share = 0.35
    far_unsharp: Share = 0.2
    steady: Share = 0.5
    standing_s: Seconds = 60.0
    learn_s: Seconds = 600.0
    settle_s: Seconds = 1800.0


@dataclass(frozen=True, eq=False)
class UsualLook:
    """What a camera usually shows. edges: as Look's, times EDGE_SCALE. detail, focus: as Look's.
    seen_s: camera time that it was learnt from."""

    edges: NDArray[np.uint16]
    detail: float
    focus: float
    seen_s: float

    @classmethod
    def of(cls, look: Look) -> UsualLook:
        return cls(look.edges.astype(np.uint16) * EDGE_SCALE, look.detail, look.focus, 0.0)

    def after(self, look: Look, step_s: float, learn_s: float) -> UsualLook:
        """A mean over what it was learnt from at first, later one that forgets within learn_s."""
        seen_s = self.seen_s + step_s
        rate = max(step_s / seen_s if seen_s else 1.0, step_s / learn_s)
        edges = self.edges + rate * (look.edges * float(EDGE_SCALE) - self.edges)
        return UsualLook(
            edges=np.round(edges).astype(np.uint16),
            detail=_log_mean(self.detail, look.detail, rate),
            focus=_log_mean(self.focus, look.focus, rate),
            seen_s=seen_s,
        )


@dataclass(frozen=True, eq=False)
class ViewMemory:
    """What is remembered of a camera from clip to clip.

    looks: the usual ones, the one seen last in front. latest: the clip before's edges. calm: the
    smallest stir of late, None while no two frames were compared. seen_us: capture time of the
    newest frame. odd_since_us: since when the view has been another, or unsharp.
    """

    looks: tuple[UsualLook, ...]
    latest: Edges
    calm: float | None
    seen_us: int
    odd_since_us: int | None = None

    def to_bytes(self) -> bytes:
        looks = [[it.edges.tobytes(), it.detail, it.focus, it.seen_s] for it in self.looks]
        latest = self.latest.tobytes()
        return ormsgpack.packb([looks, latest, self.calm, self.seen_us, self.odd_since_us])

    @classmethod
    def from_bytes(cls, value: bytes) -> ViewMemory:
        """Raises Corrupt for bytes that `to_bytes` did not write."""
        shape = (EDGE_HEIGHT, EDGE_WIDTH)
        try:
            looks, latest, calm, seen_us, odd_since_us = ormsgpack.unpackb(value)
            return cls(
                tuple(
                    UsualLook(np.frombuffer(edges, np.uint16).reshape(shape), *rest)
                    for edges, *rest in looks
                ),
                np.frombuffer(latest, np.uint8).reshape(shape),
                calm,
                seen_us,
                odd_since_us,
            )
        except (ValueError, TypeError) as error:
            raise Corrupt(f"no memory of a look: {error}", code="look_memory") from error


def judge(
    memory: ViewMemory | None,
    look: Look,
    stir: float | None,
    seen_us: int,
    settings: TamperingSettings,
) -> tuple[TamperingSigns | None, ViewMemory]:
    """A clip's signs, None while no usual look stands; and what to remember after it.

    stir: of the clip, see stir_of. seen_us: capture time of its newest frame. What shows a sign
    teaches nothing, but another view that stays for settle_s becomes a usual one.
    """
    if memory is None:
        usual = UsualLook.of(look)
        return None, ViewMemory((usual,), look.edges, stir, seen_us)
    step_s = min(max((seen_us - memory.seen_us) / SECOND_US, 0.0), LONGEST_STEP_S)
    standing = [it for it in memory.looks if it.seen_s >= settings.standing_s]
    if not standing:
        return None, _taught(memory, memory.looks[0], look, stir, seen_us, step_s, settings)
    frozen = _frozen(memory.calm, stir, settings)
    usual, signs = min(
        ((it, _signs(it, look, frozen, memory.latest, settings)) for it in standing),
        key=lambda found: found[1].worst,
    )
    if signs.worst < 1:
        return signs, _taught(memory, usual, look, stir, seen_us, step_s, settings)
    return signs, _unsettled(memory, signs, look, seen_us, settings)


def _signs(
    usual: UsualLook, look: Look, frozen: float, latest: Edges, settings: TamperingSettings
) -> TamperingSigns:
    """The one kind that explains the others: what is covered is unsharp too, and shows other
    edges."""
    edges = (usual.edges // EDGE_SCALE).astype(np.uint8)
    fine = kept(edges, look.edges, blur=FINE_PX, floor=FINE_FLOOR)
    detail = look.detail / max(usual.detail, 1e-6)
    # When the lights go out edges grow faint but stay: that is no cover.
    covered = _beyond(max(detail, fine or 0.0), settings.covered_below)
    if covered >= 1:
        return TamperingSigns(covered=covered)
    if frozen >= 1:
        return TamperingSigns(frozen=frozen)
    focus = look.focus / max(usual.focus, 1e-6)
    defocused = _beyond(focus, settings.defocused_below)
    if defocused >= 1:
        if _is_same_view(edges, look, focus, settings):
            return TamperingSigns(defocused=defocused)
        defocused = 0.0
    moved = 0.0 if fine is None else _beyond(fine, settings.moved_below)
    if moved >= 1 and not _is_steady(latest, look, settings):
        moved = 0.0
    return TamperingSigns(covered=covered, frozen=frozen, defocused=defocused, moved=moved)


def _is_same_view(edges: Edges, look: Look, focus: float, settings: TamperingSettings) -> bool:
    """Whether an unsharp view is the usual one, and not another that has fewer fine edges."""
    coarse = kept(edges, look.edges, blur=COARSE_PX, floor=COARSE_FLOOR)
    return coarse is None or coarse >= settings.same_view or focus < settings.far_unsharp


def _is_steady(latest: Edges, look: Look, settings: TamperingSettings) -> bool:
    steadiness = kept(latest, look.edges, blur=FINE_PX, floor=FINE_FLOOR)
    return steadiness is None or steadiness >= settings.steady


def _frozen(calm: float | None, stir: float | None, settings: TamperingSettings) -> float:
    if calm is None or stir is None or calm < settings.min_calm:
        return 0.0
    return _beyond(stir / calm, settings.frozen_below)


def _beyond(share: float, threshold: float) -> float:
    """How far a share of the usual has fallen: 0 at the usual, 1 at the threshold."""
    return max(0.0, 1.0 - share) / (1.0 - threshold)


def _taught(
    memory: ViewMemory,
    usual: UsualLook,
    look: Look,
    stir: float | None,
    seen_us: int,
    step_s: float,
    settings: TamperingSettings,
) -> ViewMemory:
    learnt = usual.after(look, step_s, settings.learn_s)
    others = tuple(it for it in memory.looks if it is not usual)
    calm = memory.calm
    if stir is not None:
        # It rises slowly, so that one still night does not rule for ever.
        calm = stir if calm is None else min(stir, calm * (1 + step_s / settings.learn_s))
    return ViewMemory((learnt, *others), look.edges, calm, seen_us)


def _unsettled(
    memory: ViewMemory,
    signs: TamperingSigns,
    look: Look,
    seen_us: int,
    settings: TamperingSettings,
) -> ViewMemory:
    """What shows nothing, or nothing new, never becomes usual."""
    after = replace(memory, latest=look.edges, seen_us=seen_us)
    if signs.moved < 1 and signs.defocused < 1:
        return replace(after, odd_since_us=None)
    since_us = memory.odd_since_us
    if since_us is None or since_us > seen_us:
        return replace(after, odd_since_us=seen_us)
    if seen_us - since_us < settings.settle_s * SECOND_US:
        return after
    settled = replace(UsualLook.of(look), seen_s=settings.standing_s)
    return replace(after, looks=(settled, *memory.looks[: MOST_LOOKS - 1]), odd_since_us=None)


def _log_mean(before: float, now: float, rate: float) -> float:
    """Of magnitudes that differ by factors."""
    floor = 1e-6
    mean = (1 - rate) * math.log(max(before, floor)) + rate * math.log(max(now, floor))
    return math.exp(mean)
