"""The activation map, from a job's thread: who serves a camera, and who is to."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from shared.bus import Bus
from shared.model_store import ActivationMap

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.anomaly.settings import AnomalySettings


def serving_model(camera_id: str, settings: AnomalySettings) -> str:
    """Its name. Raises RedisError."""

    async def ask() -> str:
        async with _bus(settings) as bus:
            return await _serving(bus, camera_id, settings)

    return asyncio.run(ask())


def take_over(base: str, name: str, camera_id: str, settings: AnomalySettings) -> bool:
    """Has `name` serve the camera in the place of `base`, and says whether it does now.

    Where a third model has been activated meanwhile, that one stays: it was never contested.
    Raises RedisError.
    """

    async def activate() -> bool:
        async with _bus(settings) as bus:
            serving = await _serving(bus, camera_id, settings)
            if serving == base:
                await ActivationMap(bus.redis, "anomaly").activate(bus, name, camera_id)
            return serving in (base, name)

    return asyncio.run(activate())


async def _serving(bus: Bus, camera_id: str, settings: AnomalySettings) -> str:
    active = await ActivationMap(bus.redis, "anomaly").read()
    return ActivationMap.serving(active, camera_id, settings.anomaly_model)


@asynccontextmanager
async def _bus(settings: AnomalySettings) -> AsyncIterator[Bus]:
    bus = Bus(settings.bus_url, settings.frames_url, settings.bus_partitions)
    try:
        yield bus
    finally:
        await bus.close()
