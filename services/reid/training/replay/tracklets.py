"""Clips of known people -> the messages that the embedding worker would send, and who is in them"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.reid.core.looks import Looks, pooled
from services.reid.core.quality import can_show_a_person, quality
from shared.clock import SECOND_US
from shared.messages import Detection, Outcome, Tracklet, TrackletsEmbedded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from services.reid.training.evaluate import Embeds
    from services.reid.training.replay.footage import Clip, Look, Seen
    from shared.images import Pixels
    from shared.inference import Array

START_US = 1_700_000_000 * SECOND_US
"""When every replay begins: the gallery's times are real ones."""


@dataclass(frozen=True)
class Sight:
    """A person in a frame, and the tracklet that shows it; None where the crop can show nobody."""

    camera_id: str
    time_us: int
    person: int
    tracklet: str | None


@dataclass(frozen=True, eq=False)
class Told:
    """A clip as the gallery hears of it, and what is true of it."""

    message: TrackletsEmbedded
    sights: tuple[Sight, ...]


class Teller:
    """Makes messages of clips. A crop that comes again is embedded once."""

    def __init__(self, embedder: Embeds, model: str, digest: str, *, gated: bool) -> None:
        """gated: crops count by their quality; else each is as good as any other."""
        self._embedder = embedder
        self._model = model
        self._digest = digest
        self._gated = gated
        self._known: dict[bytes, Array] = {}

    def tell(self, clips: Iterable[Clip]) -> Iterator[Told]:
        for clip in clips:
            yield self._told(clip)

    def _told(self, clip: Clip) -> Told:
        times = tuple(_time_us(look) for look in clip.looks)
        people: dict[int, list[tuple[Look, Seen]]] = {}
        for look in clip.looks:
            for seen in look.seen:
                people.setdefault(seen.person, []).append((look, seen))
        name = f"{clip.camera_id}/1/{clip.seq}"
        tracklets, sights = [], []
        for n, (person, shown) in enumerate(sorted(people.items())):
            usable = [(look, it) for look, it in shown if can_show_a_person(it.crop)]
            if usable:
                tracklets.append(self._tracklet(n, usable))
            sights += [
                Sight(
                    clip.camera_id,
                    _time_us(look),
                    person,
                    f"{name}/{n}" if can_show_a_person(seen.crop) else None,
                )
                for look, seen in shown
            ]
        message = TrackletsEmbedded(
            camera_id=clip.camera_id,
            born=1,
            epoch=1,
            seq=clip.seq,
            captured_us=times,
            ready_us=times[-1],
            clip_entry=f"{clip.seq}-1",
            outcome=Outcome.DONE,
            model=self._model,
            model_digest=self._digest,
            detected_us=times,
            tracklets=tuple(tracklets),
        )
        return Told(message, tuple(sights))

    def _tracklet(self, n: int, shown: Sequence[tuple[Look, Seen]]) -> Tracklet:
        vectors = self._vectors([seen.crop for _, seen in shown])
        looks = pooled(
            Looks(vector, self._quality(look, seen))
            for vector, (look, seen) in zip(vectors, shown, strict=True)
        )
        return Tracklet(
            n=n,
            detections=tuple(
                Detection(captured_us=_time_us(look), box=seen.box) for look, seen in shown
            ),
            crop="",
            quality=looks.quality,
            vector=looks.vector.astype("<f2").tobytes(),
        )

    def _quality(self, look: Look, seen: Seen) -> float:
        if not self._gated:
            return 1.0
        others = [it.box for it in look.seen if it is not seen]
        return quality(seen.crop, seen.box, frame_size=look.size, others=others)

    def _vectors(self, crops: Sequence[Pixels]) -> list[Array]:
        keys = [
            hashlib.sha256(repr(crop.shape).encode() + crop.tobytes()).digest() for crop in crops
        ]
        new = {key: crop for key, crop in zip(keys, crops, strict=True) if key not in self._known}
        if new:
            found = self._embedder.embed(list(new.values()))
            self._known |= dict(zip(new, found, strict=True))
        return [self._known[key] for key in keys]


def _time_us(look: Look) -> int:
    return START_US + round(look.time_s * SECOND_US)
