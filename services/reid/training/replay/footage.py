"""What cameras see of people whose names are known, one look after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from shared.images import Pixels
    from shared.messages import Box


@dataclass(frozen=True, eq=False)
class Seen:
    """A person in a frame. crop: rgb."""

    person: int
    box: Box
    crop: Pixels


@dataclass(frozen=True, eq=False)
class Look:
    """A frame of one camera. time_s: since the footage began. size: width and height in pixels."""

    camera_id: str
    time_s: float
    size: tuple[int, int]
    seen: tuple[Seen, ...]


@dataclass(frozen=True, eq=False)
class Clip:
    """Looks of one camera, in the order of time."""

    camera_id: str
    seq: int
    looks: tuple[Look, ...]


def clips(looks: Iterable[Look], clip_s: float) -> Iterator[Clip]:
    """The clips of all cameras as they come due. looks: in the order of time, of every camera at
    least one in each span of clip_s."""
    due = 0
    waiting: dict[str, list[Look]] = {}
    for look in looks:
        span = int(look.time_s / clip_s + 1e-6)
        if span > due:
            yield from _cut(waiting, due)
            waiting, due = {}, span
        waiting.setdefault(look.camera_id, []).append(look)
    yield from _cut(waiting, due)


def _cut(waiting: dict[str, list[Look]], seq: int) -> Iterator[Clip]:
    for camera_id in sorted(waiting):
        yield Clip(camera_id, seq, tuple(waiting[camera_id]))
