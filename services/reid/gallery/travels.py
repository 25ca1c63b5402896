"""The tables -> the camera graph: what the writer knew when it was stopped, near enough"""

from __future__ import annotations

import asyncio
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
    taught: set[str] = set()
    for row in rows:
        # Tracks interleave, and all that a track had shown when it was judged says how it was.
        if row.track_id not in taught and row.how != How.CONTINUED:
            beliefs = {} if row.how == How.NEW else {row.person_id or "": row.confidence}
            graph.learn(row.camera_id, stands_of(row)[0].time_s, beliefs)
            graph.known += row.how == How.NEW
        taught.add(row.track_id)
        graph.see(row.person_id or "", row.camera_id, stands_of(row), row.confidence)
    return graph
