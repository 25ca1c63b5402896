"""What the gallery made of a replay, and what was true -> figures and a table"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from services.reid.core.identity_figures import calibration, identity_figures
from services.reid.gallery.tables import How

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.reid.core.identity_figures import IdentityFigures, Level
    from services.reid.training.replay.gallery import Given
    from services.reid.training.replay.tracklets import Sight


@dataclass(frozen=True)
class Report:
    """recognised: of tracks that were taken for somebody known, how sure the gallery was and how
    often it was right: whether most of what it holds of that person is of them."""

    figures: IdentityFigures
    recognised: list[Level]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self.figures), "recognised": [asdict(level) for level in self.recognised]}

    def table(self) -> str:
        it = self.figures
        lines = [
            f"IDF1 {it.idf1:.3f}  IDP {it.idp:.3f}  IDR {it.idr:.3f}  switches {it.switches}",
            f"{it.ids} ids given to {it.people} people, {it.sights} sights",
            "stated  right  tracks",
        ]
        lines += [f"{it.stated:6.2f}  {it.right:5.2f}  {it.count:6}" for it in self.recognised]
        return "\n".join(lines)


def report(sights: Sequence[Sight], given: Mapping[str, Given]) -> Report:
    """given: by the name of the tracklet."""
    ordered = sorted(sights, key=lambda it: (it.time_us, it.camera_id))
    pairs = [(it.person, _person_of(it, given)) for it in ordered]
    return Report(identity_figures(pairs), calibration(_statements(ordered, given)))


def _person_of(sight: Sight, given: Mapping[str, Given]) -> str | None:
    found = given.get(sight.tracklet or "")
    return found.person_id if found else None


def _statements(sights: Sequence[Sight], given: Mapping[str, Given]) -> list[tuple[float, bool]]:
    """One for each track that was recognised: its confidence, and whether it was right."""
    shown: dict[str, Counter[int]] = defaultdict(Counter)
    tracks: dict[str, Counter[int]] = defaultdict(Counter)
    verdicts: dict[str, Given] = {}
    for sight in sights:
        found = given.get(sight.tracklet or "")
        if found is None or found.person_id is None:
            continue
        shown[found.person_id][sight.person] += 1
        tracks[found.track_id][sight.person] += 1
        if found.how is How.ALIKE:
            verdicts[found.track_id] = found
    return [
        (it.confidence, _most(tracks[track]) == _most(shown[it.person_id or ""]))
        for track, it in verdicts.items()
    ]


def _most(counted: Counter[int]) -> int:
    return counted.most_common(1)[0][0]
