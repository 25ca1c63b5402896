"""Time passes -> overdue windows are published, forgotten clips are reaped."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ormsgpack

from shared.patience import OUTAGES
from shared.scripts import load_script
from shared.topics import CLIP_GROUPS, CLIPS

if TYPE_CHECKING:
    from services.gateway.intake.window import Windows
    from services.gateway.settings import GatewaySettings
    from services.gateway.store.cameras import Registry
    from shared.bus import Bus
    from shared.health import Vital

SWEEP_EVERY_S = 0.5
REAP_EVERY_SWEEPS = 60


class Sweeper:
    """Runs at every gateway: its scripts are atomic, so sweeping twice does nothing."""

    def __init__(
        self,
        bus: Bus,
        windows: Windows,
        registry: Registry,
        settings: GatewaySettings,
        vital: Vital,
    ) -> None:
        self._bus = bus
        self._windows = windows
        self._registry = registry
        self._settings = settings
        self._vital = vital
        self._reap = load_script(bus.redis, Path(__file__).parent / "lua" / "reap.lua")

    async def run(self) -> None:
        """Until cancelled. Redis or the database away: says so, and goes on when it is back."""
        sweeps = 0
        while True:
            try:
                await self._windows.sweep(self._registry.find)
                if sweeps % REAP_EVERY_SWEEPS == 0:
                    await self.reap()
                self._vital.well()
                sweeps += 1
            except OUTAGES as error:
                self._vital.ailing(str(error))
            await asyncio.sleep(SWEEP_EVERY_S)

    async def reap(self) -> None:
        """Frees what readers held that died between their effect and their release."""
        for partition in range(self._bus.partitions):
            job: dict[str, Any] = {
                "partition": partition,
                "groups": [group.value for group in CLIP_GROUPS],
                "older_than_ms": round(self._settings.frame_ttl_s * 1000),
                "limit": 256,
            }
            freed = await self._reap(keys=[CLIPS.key(partition)], args=[ormsgpack.packb(job)])
            if freed:
                await self._bus.frames.unlink(*freed)
