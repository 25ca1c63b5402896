"""Model names -> loaded models: which one serves a camera, swapped without a restart."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import structlog
from prometheus_client import Gauge

from shared.errors import CityBrainError
from shared.inference import Precision, Provider, Session, open_session
from shared.messages import ScoringContext
from shared.model_store import ActivationMap, ModelStore, StoredModel
from shared.patience import OUTAGES
from shared.topics import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.bus import Bus
    from shared.health import Vital

log = structlog.get_logger(__name__)

LOADED = Gauge(
    "citybrain_model_loaded",
    "Models in memory, and on what they run",
    ["model", "provider", "precision"],
)

Runtime = TypeVar("Runtime")


@dataclass(frozen=True)
class Loaded(Generic[Runtime]):
    """A model in memory: `runtime` does its service's work with it."""

    model: StoredModel
    runtime: Runtime
    context: ScoringContext


@dataclass(frozen=True)
class RackSettings:
    """default: the model of cameras that have none of their own. lanes: forward passes side by
    side; threads: of each. capacity: models in memory."""

    default: str
    provider: Provider = Provider.AUTO
    precision: Precision = Precision.FP32
    lanes: int = 1
    threads: int = 1
    capacity: int = 4


class ModelRack(Generic[Runtime]):
    """The models of one service. Sessions are shared by all cameras of a model."""

    def __init__(
        self,
        service: str,
        store: ModelStore,
        bus: Bus,
        make: Callable[[StoredModel, Session], Runtime],
        settings: RackSettings,
        vital: Vital,
    ) -> None:
        self._store = store
        self._bus = bus
        self._make = make
        self._settings = settings
        self._vital = vital
        self._activations = ActivationMap(bus.redis, service)
        self._active: dict[str, str] = {}
        self._loaded: OrderedDict[str, Loaded[Runtime]] = OrderedDict()
        self._loading = asyncio.Lock()

    def name_for(self, camera_id: str) -> str:
        """Which model serves a camera now, as far as this process has heard."""
        return ActivationMap.serving(self._active, camera_id, self._settings.default)

    async def for_camera(self, camera_id: str) -> Loaded[Runtime]:
        """What serves a camera now. Raises Missing or Corrupt."""
        return await self.get(self.name_for(camera_id))

    async def get(self, name: str) -> Loaded[Runtime]:
        """A model by name, loaded if it is not. Raises Missing or Corrupt."""
        async with self._loading:
            if name not in self._loaded:
                self._loaded[name] = await asyncio.to_thread(self._load, name)
                while len(self._loaded) > self._settings.capacity:
                    gone, _ = self._loaded.popitem(last=False)
                    log.info("model_unloaded", model=gone)
            self._loaded.move_to_end(name)
            return self._loaded[name]

    async def watch(self) -> None:
        """Until cancelled: keeps the activation map, well once the default model is loaded."""
        last: str | None = None
        while True:
            try:
                # Before the map is read: a change while the model loads is heard of afterwards.
                last = last or await self._newest_announcement()
                self._active = await self._activations.read()
                await self.for_camera(ActivationMap.EVERY_CAMERA)
                self._vital.well()
                reply: Any = await self._bus.waiting.xread({MODELS.key(): last}, block=5_000)
                if reply:
                    last = reply[0][1][-1][0].decode()
            except OUTAGES as error:
                # What is loaded goes on serving while Redis is away.
                self._vital.ailing(f"bus: {error}")
                await asyncio.sleep(0.5)
            except CityBrainError as error:
                self._vital.ailing(str(error))
                await asyncio.sleep(2)

    async def _newest_announcement(self) -> str:
        newest: Any = await self._bus.redis.xrevrange(MODELS.key(), count=1)
        return newest[0][0].decode() if newest else "0-0"

    def _load(self, name: str) -> Loaded[Runtime]:
        model = self._store.load(name)
        settings = self._settings
        session = open_session(
            model.path,
            provider=settings.provider,
            precision=settings.precision,
            lanes=settings.lanes,
            threads=settings.threads,
        )
        LOADED.labels(name, session.provider, session.precision).set(1)
        log.info("model_loaded", model=name, provider=session.provider)
        context = ScoringContext(
            model=name,
            model_digest=model.digest,
            provider=session.provider,
            precision=session.precision,
        )
        return Loaded(model, self._make(model, session), context)
