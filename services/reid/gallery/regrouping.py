"""A user's word on who is who -> tracklets of other persons, and a history that keeps all."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select
from ulid import ULID

from services.reid.gallery.changes import check_live, find, version_of
from services.reid.gallery.moves import move_of, moved_by, number, tracklets
from services.reid.gallery.revisions import take_turn
from services.reid.gallery.tables import (
    ChangedPersonRow,
    How,
    MergedPersonRow,
    PersonChangeRow,
    TrackletRow,
)
from services.reid.gallery.undoing import put_back, put_followers_back
from shared.clock import now_us
from shared.errors import Conflict, Denied, Missing, Stale
from shared.person_changes import ChangeKind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from services.reid.gallery.announcing import Herald
    from shared.database import Database


@dataclass(frozen=True)
class Deed:
    """Who says so, and why. cameras: the only ones that they may see (None: all). key: the same one
    makes the same change. version: of the person, as they have read it (None: whatever it is)."""

    actor: str
    purpose: str
    cameras: Collection[str] | None = None
    key: str | None = None
    version: int | None = None


class Regrouping:
    """Merges, splits, confirms and undoes. Any process may: whoever changes persons has the
    writer's lease row locked, so that the writer works before or after, and knows of it.

    All methods raise Missing (`unknown_person`, `unknown_sighting`, `unknown_change`), Denied
    (`camera_denied`) where it concerns what the user may not see, Conflict, and Stale.
    """

    def __init__(self, database: Database, herald: Herald) -> None:
        self._database = database
        self._herald = herald

    async def merge(self, person_id: str, others: Collection[str], deed: Deed) -> PersonChangeRow:
        """The others are this person: from now on all their tracklets are theirs."""
        if person_id in others:
            raise Conflict("nobody can be merged with themselves", code="same_person")
        digest = _digest(ChangeKind.MERGE, person_id, others)
        async with self._database.writing() as session:
            revision = await take_turn(self._database, session)
            if (known := await _recall(session, deed, digest)) is not None:
                return known
            await _check(session, person_id, deed)
            for other in others:
                await check_live(session, other, deed.cameras)
            rows = await tracklets(session, TrackletRow.person_id.in_(others))
            _check_visible(rows, deed)
            change = _new(ChangeKind.MERGE, person_id, deed, digest)
            session.add_all(
                MergedPersonRow(person_id=other, into_person=person_id, change_id=change.id)
                for other in others
            )
            merged = dict.fromkeys(others, person_id)
            await self._carry_out(session, change, rows, revision, merged=merged)
        return change

    async def split(
        self, person_id: str, names: Collection[str], into: str | None, deed: Deed
    ) -> PersonChangeRow:
        """These tracklets of a person are somebody else's: a known person's, or a new one's."""
        if into == person_id:
            raise Conflict("these sightings are of this person already", code="same_person")
        digest = _digest(ChangeKind.SPLIT, person_id, [*names, f"into {into}"])
        async with self._database.writing() as session:
            revision = await take_turn(self._database, session)
            if (known := await _recall(session, deed, digest)) is not None:
                return known
            await _check(session, person_id, deed)
            if into is not None:
                await check_live(session, into, deed.cameras)
            rows = await _named(session, person_id, names, deed)
            of_person = select(func.count()).where(TrackletRow.person_id == person_id)
            if await session.scalar(of_person) == len(rows):
                raise Conflict("nobody would be left; merge instead", code="nothing_left")
            change = _new(ChangeKind.SPLIT, into or str(ULID()), deed, digest)
            await self._carry_out(session, change, rows, revision)
        return change

    async def confirm(self, person_id: str, names: Collection[str], deed: Deed) -> PersonChangeRow:
        """These tracklets are surely this person's."""
        digest = _digest(ChangeKind.CONFIRM, person_id, names)
        async with self._database.writing() as session:
            revision = await take_turn(self._database, session)
            if (known := await _recall(session, deed, digest)) is not None:
                return known
            await _check(session, person_id, deed)
            rows = await _named(session, person_id, names, deed)
            change = _new(ChangeKind.CONFIRM, person_id, deed, digest)
            await self._carry_out(session, change, rows, revision)
        return change

    async def undo(self, change_id: str, deed: Deed) -> PersonChangeRow:
        """Everything is again as it was before the change, as far as it was not forgotten since;
        who was recognised since stays who they are. What was undone is undone once.

        Raises Conflict (`changed_since`) where a later change rests on this one.
        """
        async with self._database.writing() as session:
            revision = await take_turn(self._database, session)
            change = await find(session, change_id, deed.cameras)
            if change.undone_us is not None:
                return change
            await _check_version(session, change.to_person, deed)
            rows = await tracklets(session, TrackletRow.id.in_(moved_by(change)))
            _check_visible(rows, deed)
            unmerged = await put_back(session, change, rows)
            rows += await put_followers_back(session, change, rows)
            revision = number(rows, revision)
            change.undone_us, change.undone_by = now_us(), deed.actor
            change.undone_purpose = deed.purpose
            await self._herald.tell_revised(session, rows, revision, unmerged=unmerged)
        return change

    async def _carry_out(
        self,
        session: AsyncSession,
        change: PersonChangeRow,
        rows: Sequence[TrackletRow],
        revision: int,
        merged: dict[str, str] | None = None,
    ) -> None:
        """Moves the tracklets, and writes down how they were. What was told of single tracklets is
        sure."""
        persons = {row.person_id for row in rows} | {change.to_person}
        session.add_all(ChangedPersonRow(person_id=it, change_id=change.id) for it in persons)
        session.add_all(move_of(change, row, str(row.person_id)) for row in rows)
        for row in rows:
            row.person_id = change.to_person
            if change.kind != ChangeKind.MERGE:
                row.how, row.confidence = How.TOLD, 1.0
        change.tracklets, change.revision = len(rows), number(rows, revision)
        session.add(change)
        await self._herald.tell_revised(session, rows, change.revision, merged=merged)


def _new(kind: ChangeKind, to_person: str, deed: Deed, digest: str) -> PersonChangeRow:
    return PersonChangeRow(
        id=str(ULID()),
        kind=kind,
        to_person=to_person,
        actor=deed.actor,
        purpose=deed.purpose,
        at_us=now_us(),
        key=deed.key,
        digest=digest,
    )


def _digest(kind: ChangeKind, person_id: str, names: Iterable[str]) -> str:
    return hashlib.sha256(json.dumps([kind, person_id, *sorted(names)]).encode()).hexdigest()


async def _recall(session: AsyncSession, deed: Deed, digest: str) -> PersonChangeRow | None:
    """What the key has made before. Raises Conflict where it was used for something else."""
    if deed.key is None:
        return None
    query = select(PersonChangeRow).where(PersonChangeRow.key == deed.key)
    known: PersonChangeRow | None = await session.scalar(query)
    if known is not None and known.digest != digest:
        raise Conflict("this Idempotency-Key was used with other content", code="key_reused")
    return known


async def _check(session: AsyncSession, person_id: str, deed: Deed) -> None:
    """Raises what `check_live` does, and Stale where somebody has changed the person since."""
    await check_live(session, person_id, deed.cameras)
    await _check_version(session, person_id, deed)


async def _check_version(session: AsyncSession, person_id: str, deed: Deed) -> None:
    if deed.version is not None and deed.version != (
        current := await version_of(session, person_id)
    ):
        raise Stale(f"the person is at version {current}, not {deed.version}; read it again")


def _check_visible(rows: Iterable[TrackletRow], deed: Deed) -> None:
    if deed.cameras is not None and not {row.camera_id for row in rows} <= set(deed.cameras):
        raise Denied(
            "it concerns sightings at cameras that this key is not for", code="camera_denied"
        )


async def _named(
    session: AsyncSession, person_id: str, names: Collection[str], deed: Deed
) -> list[TrackletRow]:
    """A person's tracklets by their names. Raises Missing for those that are not theirs, or not to
    be seen."""
    of_person = TrackletRow.person_id == person_id
    rows = await tracklets(session, of_person, TrackletRow.name.in_(names))
    seen = {row.name for row in rows if deed.cameras is None or row.camera_id in deed.cameras}
    for name in names:
        if name not in seen:
            raise Missing(f"the person has no sighting {name!r}", code="unknown_sighting")
    return rows
