"""The server's clock -> cameras that fell silent, gaps that were waited for long enough."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import select

from services.gateway.composer.tampering import alarms_of
from services.gateway.composer.turns import alarm_of
from services.gateway.composer.watch import close_silent
from services.gateway.core.alarm import Phase, Severity
from services.gateway.core.camera import Camera, CameraMode
from services.gateway.core.tampering import suspicion
from services.gateway.store import alerts
from services.gateway.store.cameras import camera_of
from services.gateway.store.status import account_of
from services.gateway.store.tables import AlertRow, CameraRow, WatchRow
from shared.clock import SECOND_US, now_us
from shared.patience import OUTAGES
from shared.topics import CameraKeys, Group, partition_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from services.gateway.composer.scores import ScoreComposer
    from shared.bus import Bus
    from shared.database import Database
    from shared.health import Vital
    from shared.leases import Lease
    from shared.outbox import Relay

log = structlog.get_logger(__name__)


@dataclass
class Clock:
    """Judges silence by the server's time. Runs under a lease, one for all gateways."""

    database: Database
    bus: Bus
    scores: ScoreComposer
    relay: Relay
    offline_after_s: float
    vital: Vital

    async def run(self, _: Lease, *, every_s: float = 1.0) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.tick()
                self.vital.well()
            except OUTAGES as error:
                # Not knowing when frames came is no reason to call a camera silent.
                self.vital.ailing(str(error))
            await asyncio.sleep(every_s)

    async def tick(self) -> None:
        """One look at all cameras."""
        await self.scores.skip_gaps()
        async with self.database.reading() as session:
            rows = await session.execute(
                select(CameraRow, WatchRow)
                .join(WatchRow, WatchRow.camera_id == CameraRow.id)
                .where(CameraRow.deleted_us.is_(None))
            )
            cameras = [(camera_of(row), watch.presence, _suspects(watch)) for row, watch in rows]
        arrivals = await self._arrivals([camera.id for camera, _, _ in cameras])
        for (camera, presence, suspects), arrived_us in zip(cameras, arrivals, strict=True):
            if arrived_us is None:
                continue
            silent = now_us() - arrived_us > self.offline_after_s * SECOND_US
            if presence != ("offline" if silent else "online"):
                await self._change(camera, silent, arrived_us)
            elif silent and suspects:
                await self._close_late(camera)

    async def _arrivals(self, camera_ids: list[str]) -> list[int | None]:
        async with self.bus.redis.pipeline(transaction=False) as pipe:
            for camera_id in camera_ids:
                keys = CameraKeys(camera_id, partition_of(camera_id, self.bus.partitions))
                pipe.hget(keys.account, "arrived_us")
            found: list[Any] = await pipe.execute()
        return [None if raw is None else int(raw) for raw in found]

    async def _change(self, camera: Camera, silent: bool, arrived_us: int) -> None:
        now = now_us()
        async with self.database.writing() as session:
            watch = await session.get(WatchRow, camera.id, with_for_update=True)
            wanted = "offline" if silent else "online"
            if watch is None or watch.presence == wanted:
                return
            log.info("camera_presence", camera_id=camera.id, presence=wanted)
            watch.presence, watch.presence_us = wanted, now
            if silent:
                await close_silent(session, watch, now)
            # Archive footage comes to its end; a live camera should not.
            if camera.mode is CameraMode.LIVE:
                await self._tell_offline(session, camera, silent, arrived_us, now)
            alerts.tell(session, f"camera.{wanted}", camera.id, now, {"camera_id": camera.id})
        self.relay.wake()

    async def _close_late(self, camera: Camera) -> None:
        """An alert of a clip that was scored after its camera had fallen silent: no frame will come
        to close it, so it is closed when nothing of the camera is under way any more."""
        keys = CameraKeys(camera.id, partition_of(camera.id, self.bus.partitions))
        account = await account_of(self.database, self.bus, keys)
        if account.groups[Group.ANOMALY]["in_flight"] > 0:
            return
        async with self.database.writing() as session:
            watch = await session.get(WatchRow, camera.id, with_for_update=True)
            if watch is not None and watch.presence == "offline":
                await close_silent(session, watch, now_us())
        self.relay.wake()

    async def _tell_offline(
        self, session: AsyncSession, camera: Camera, silent: bool, arrived_us: int, now: int
    ) -> None:
        if silent:
            await alerts.open_alert(
                session,
                camera,
                kind="camera_offline",
                severity=Severity.MEDIUM,
                start_us=arrived_us,
                now_us=now,
            )
            return
        still_open = select(AlertRow.id).where(
            AlertRow.camera_id == camera.id,
            AlertRow.kind == "camera_offline",
            AlertRow.state == "open",
        )
        for alert_id in list(await session.scalars(still_open)):
            await alerts.close_alert(session, alert_id, arrived_us, now)


def _suspects(watch: WatchRow) -> bool:
    """Whether an alert of the camera is open, or about to be."""
    return suspicion([alarm_of(watch), *alarms_of(watch).values()]) is not Phase.QUIET
