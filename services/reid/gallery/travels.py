"""The tables -> the camera graph: what the writer knew when it was stopped, near enough"""

from __future__ import annotations

import asyncio
from itertools import groupby
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from services.reid.core.camera_graph import CameraGraph
from services.reid.gallery.rows import stands_of
from services.reid.gallery.tables import How, TrackletRow

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from services.reid.core.camera_graph import GraphSettings

REMEMBERED = 4_000
"""Tracklets from which the graph is learnt again: the newest (ours). With a thousand people about,
each track of them costs 5 ms."""

AT_ONCE = 500
"""Persons asked for by one query."""


async def graph_of(session: AsyncSession, settings: GraphSettings, *, before: int) -> CameraGraph:
    """From tracklets of known persons up to a revision, in the order in which they came. The tables
    have only who each was taken for, so that a verdict teaches here as much as it was believed, and
    who else it might have been is lost. What a user said is believed wholly."""
    query = (
        select(TrackletRow)
        .where(TrackletRow.person_id.is_not(None), TrackletRow.revision <= before)
        .order_by(TrackletRow.id.desc())
        .limit(REMEMBERED)
    )
    rows = list(reversed(list(await session.scalars(query))))
    known = await session.scalar(select(func.count(TrackletRow.person_id.distinct()))) or 0
    return await asyncio.to_thread(_learnt, rows, known, settings)


async def living(session: AsyncSession, persons: Collection[str]) -> set[str]:
    """Those of the persons who have tracklets."""
    found: set[str] = set()
    asked = sorted(persons)
    for start in range(0, len(asked), AT_ONCE):
        some = asked[start : start + AT_ONCE]
        query = select(TrackletRow.person_id).where(TrackletRow.person_id.in_(some)).distinct()
        found.update(person for person in await session.scalars(query) if person is not None)
    return found


def _learnt(rows: Sequence[TrackletRow], known: int, settings: GraphSettings) -> CameraGraph:
    graph = CameraGraph(settings)
    founded = {row.person_id for row in rows if row.how == How.NEW}
    graph.known = max(known - len(founded), 0)
    for (camera_id, _), found in groupby(rows, key=lambda row: (row.camera_id, row.track_id)):
        track = list(found)
        first = track[0]
        if first.how != How.CONTINUED:
            beliefs = {} if first.how == How.NEW else {first.person_id or "": first.confidence}
            graph.learn(camera_id, stands_of(first)[0].time_s, beliefs)
            graph.known += first.how == How.NEW
        for row in track:
            graph.see(row.person_id or "", camera_id, stands_of(row), row.confidence)
    return graph
