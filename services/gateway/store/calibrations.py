"""The calibrations of a camera: who built its baseline anew, from what, and what stood before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ormsgpack
from sqlalchemy import select, update

from services.gateway.core.baseline import Baseline
from services.gateway.store import baselines
from services.gateway.store.tables import BaselineRow, CalibrationRow, ScoreCursorRow
from shared.clock import now_us
from shared.errors import Conflict

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.ext.asyncio import AsyncSession

KEPT_BASELINES = 10
"""Of so many calibrations, the newest ones of a camera, the baseline before is kept."""


async def hold(session: AsyncSession, camera_id: str, context_key: str) -> BaselineRow:
    """The camera's baseline, while the composer waits: it folds under the cursor's lock, and what
    it had read before would overwrite the new baseline.

    Raises Conflict where the baseline is gone.
    """
    await session.get(ScoreCursorRow, camera_id, with_for_update=True)
    row = await session.get(BaselineRow, (camera_id, context_key), with_for_update=True)
    if row is None:
        raise Conflict(f"camera {camera_id!r} has lost its baseline", code="baseline_gone")
    return row


async def record(
    session: AsyncSession, held: BaselineRow, calibration: CalibrationRow, found: Baseline
) -> None:
    """Puts the found baseline in the place of the held one, which goes into the history."""
    before = await baselines.load(session, held.camera_id, held.context)
    calibration.before = _packed(before)
    session.add(calibration)
    await baselines.replace(session, held, found)
    await session.flush()
    newest = (
        _of(held)
        .order_by(CalibrationRow.id.desc())
        .limit(KEPT_BASELINES)
        .with_only_columns(CalibrationRow.id)
    )
    await session.execute(
        update(CalibrationRow)
        .where(
            CalibrationRow.camera_id == held.camera_id,
            CalibrationRow.context == held.context,
            CalibrationRow.id.not_in(list(await session.scalars(newest))),
        )
        .values(before=None)
    )


async def undo_newest(session: AsyncSession, held: BaselineRow, actor: str) -> CalibrationRow:
    """Puts back the baseline that stood before the newest calibration which is not undone.

    Raises Conflict where there is none, or its baseline is no longer kept.
    """
    row = await newest_standing(session, held)
    if row is None or row.before is None:
        raise Conflict(
            f"no baseline is kept of before the calibrations of camera {held.camera_id!r}",
            code="nothing_to_roll_back",
        )
    await baselines.replace(session, held, _unpacked(row.before))
    row.undone_us, row.undone_by, row.before = now_us(), actor, None
    return row


async def newest_standing(session: AsyncSession, of: BaselineRow) -> CalibrationRow | None:
    """The calibration that a baseline goes back to."""
    query = _of(of).where(CalibrationRow.undone_us.is_(None))
    row: CalibrationRow | None = await session.scalar(
        query.order_by(CalibrationRow.id.desc()).limit(1)
    )
    return row


async def has_any(session: AsyncSession, of: BaselineRow) -> bool:
    """Whether a baseline was ever built anew, even if that was undone: scores that were stored
    meanwhile are on another scale than those of before or after."""
    found = _of(of).limit(1).with_only_columns(CalibrationRow.id)
    return await session.scalar(found) is not None


def _of(row: BaselineRow) -> Select[CalibrationRow]:
    return select(CalibrationRow).where(
        CalibrationRow.camera_id == row.camera_id, CalibrationRow.context == row.context
    )


def _packed(baseline: Baseline) -> bytes:
    hours = list(baseline.pack_hours().items())
    return ormsgpack.packb([baseline.pack(), hours, baseline.open_score])


def _unpacked(packed: bytes) -> Baseline:
    sketch, hours, open_score = ormsgpack.unpackb(packed)
    return Baseline(sketch, dict(hours), open_score)
