"""The turn that an alarm takes -> its alert reopened, louder or closed"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.gateway.core.alarm import Alarm, Phase, Turn
from services.gateway.store import alerts

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from services.gateway.core.alarm import Severity
    from services.gateway.store.tables import WatchRow


def alarm_of(row: WatchRow) -> Alarm:
    """The camera's alarm of what looks unusual."""
    return Alarm.model_validate(row.alarm) if row.alarm else Alarm()


async def follow(
    session: AsyncSession,
    turn: Turn | None,
    before: Alarm,
    alarm: Alarm,
    *,
    severity: Severity,
    regions: list[dict[str, float]],
    now_us: int,
) -> None:
    """Tells of an alert that there is. To open one is for those who know what it shows."""
    if turn is Turn.REOPENED and alarm.alert_id:
        await alerts.reopen_alert(session, alarm.alert_id, now_us)
    if turn in (Turn.REOPENED, Turn.PEAKED) and alarm.alert_id:
        await alerts.raise_peak(
            session,
            alarm.alert_id,
            peak_us=alarm.peak_us,
            peak_score=alarm.peak_score,
            severity=severity,
            regions=regions,
            now_us=now_us,
        )
    if turn is Turn.CLOSED and before.alert_id:
        await alerts.close_alert(session, before.alert_id, before.loud_us, now_us)


async def close_open(session: AsyncSession, alarm: Alarm, now_us: int) -> None:
    """Closes an alarm's alert, if it is open, with the last that was heard of it."""
    if alarm.phase is Phase.OPEN and alarm.alert_id:
        await alerts.close_alert(session, alarm.alert_id, alarm.loud_us, now_us)
