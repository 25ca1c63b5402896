"""/v1/systems: what can be trained."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request

from services.synthetic.api.orders import store_of
from services.synthetic.catalogue import SystemAbout, system_of, systems
from shared.jobs_api import READS

if TYPE_CHECKING:
    from shared.model_store import ModelStore

router = APIRouter(prefix="/v1", tags=["synthetic"])


class TrainableSystem(SystemAbout):
    """models: of the store that were trained by it."""

    models: list[str]


@router.get("/systems", dependencies=[READS])
async def list_systems(request: Request) -> list[TrainableSystem]:
    """Every adversarial system: its paper, what it needs, its settings and their JSON schema."""
    trained = await asyncio.to_thread(_trained, store_of(request))
    return [_told(about, trained) for about in systems().values()]


@router.get("/systems/{name}", dependencies=[READS])
async def get_system(request: Request, name: str) -> TrainableSystem:
    """404: `unknown_system`."""
    return _told(system_of(name), await asyncio.to_thread(_trained, store_of(request)))


def _trained(store: ModelStore) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for model in store.names:
        system = store.card(model).settings.get("system")
        if isinstance(system, str):
            found.setdefault(system, []).append(model)
    return found


def _told(about: SystemAbout, trained: dict[str, list[str]]) -> TrainableSystem:
    return TrainableSystem(**about.model_dump(), models=trained.get(about.name, []))
