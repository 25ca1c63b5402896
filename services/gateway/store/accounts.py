"""What became of every accepted frame: accepted = thinned + outcomes + in flight, per group."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from services.gateway.store.tables import AccountRow
from shared.messages import ClipOutcome, Outcome
from shared.topics import CLIP_GROUPS, Group

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.ext.asyncio import AsyncSession

    from shared.database import Database

SHED_PREFIX = "shed."
REFUSED_PREFIX = "refused."


@dataclass(frozen=True)
class Account:
    """One camera's frames. groups: group -> outcome -> frames, with `in_flight` among them.

    accepted, thinned and shed are the intake script's counters; the other outcomes are the rows
    that the composer has written. Nothing here is a process's own count.
    """

    camera_id: str
    accepted: int = 0
    thinned: int = 0
    clips: int = 0
    repeated: int = 0
    overloaded: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    groups: dict[str, dict[str, int]] = field(default_factory=dict)


async def count(
    session: AsyncSession, database: Database, outcome: ClipOutcome, group: Group
) -> None:
    """Adds an outcome's owned frames. A shed clip is in the script's counters already."""
    if outcome.outcome is Outcome.SHED:
        return
    await _add(session, database, outcome, group, outcome.outcome, +1)
    if outcome.replayed:
        await _add(session, database, outcome, group, Outcome.DEAD, -1)


async def _add(
    session: AsyncSession,
    database: Database,
    message: ClipOutcome,
    group: Group,
    outcome: Outcome,
    sign: int,
) -> None:
    frames = sign * len(message.captured_us)
    key = {
        "camera_id": message.camera_id,
        "born": message.born,
        "group": group.value,
        "outcome": outcome.value,
    }
    insert = database.insert(AccountRow).values(**key, frames=frames, clips=sign)
    await session.execute(
        insert.on_conflict_do_update(
            index_elements=list(key),
            set_={"frames": AccountRow.frames + frames, "clips": AccountRow.clips + sign},
        )
    )


async def of_camera(
    session: AsyncSession, camera_id: str, counters: dict[str, int], born: int | None
) -> Account:
    """The account since the camera's window was born.

    counters: the intake script's. born: None where the camera has sent nothing yet.
    """
    groups = {group.value: dict.fromkeys((o.value for o in Outcome), 0) for group in CLIP_GROUPS}
    rows = await session.execute(
        select(AccountRow.group, AccountRow.outcome, AccountRow.frames).where(
            AccountRow.camera_id == camera_id, AccountRow.born == (born or 0)
        )
    )
    for group, outcome, frames in rows:
        groups[group][outcome] = frames
    accepted, thinned = counters.get("accepted", 0), counters.get("thinned", 0)
    for group, outcomes in groups.items():
        outcomes[Outcome.SHED] = counters.get(SHED_PREFIX + group, 0)
        outcomes["in_flight"] = accepted - thinned - sum(outcomes.values())
    return Account(
        camera_id=camera_id,
        accepted=accepted,
        thinned=thinned,
        clips=counters.get("clips", 0),
        repeated=counters.get("repeated", 0),
        overloaded=counters.get("overloaded", 0),
        refused={
            name.removeprefix(REFUSED_PREFIX): number
            for name, number in sorted(counters.items())
            if name.startswith(REFUSED_PREFIX)
        },
        groups=groups,
    )


def total(accounts: Collection[Account]) -> Account:
    """The sum over cameras."""
    groups: dict[str, dict[str, int]] = {}
    refused: dict[str, int] = {}
    for account in accounts:
        for group, outcomes in account.groups.items():
            _add_up(groups.setdefault(group, {}), outcomes)
        _add_up(refused, account.refused)
    numbers: dict[str, Any] = {
        name: sum(getattr(account, name) for account in accounts)
        for name in ("accepted", "thinned", "clips", "repeated", "overloaded")
    }
    return Account(camera_id="*", refused=refused, groups=groups, **numbers)


def _add_up(into: dict[str, int], more: dict[str, int]) -> None:
    for name, number in more.items():
        into[name] = into.get(name, 0) + number
