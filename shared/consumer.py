"""stream -> deliveries -> handler -> settlement: the one loop that every worker runs.

The laws: read no more than there are free slots; renew what is in work; claim what others have left
idle; acknowledge after the effect is durable; bury what fails too often.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

import ormsgpack
import structlog
from prometheus_client import Counter, Gauge, Histogram
from pydantic import ValidationError
from redis.exceptions import RedisError
from ulid import ULID

from shared.bus import Bus, Delivery, Settlement, type_of
from shared.errors import Unavailable
from shared.messages import Message
from shared.patience import is_passing
from shared.telemetry import span

if TYPE_CHECKING:
    from shared.health import Vital
    from shared.topics import Group, Topic

log = structlog.get_logger(__name__)

M = TypeVar("M", bound=Message)

HANDLED = Counter("citybrain_handled_total", "Deliveries by end", ["topic", "group", "end"])
IN_WORK = Gauge("citybrain_in_work", "Deliveries in work", ["topic", "group"])
HANDLING = Histogram(
    "citybrain_handling_seconds",
    "Time from delivery to settlement",
    ["topic", "group"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)


@dataclass(frozen=True)
class DeliveryPolicy:
    """How patient a group is with a delivery.

    claim_idle_s: taken over by another consumer after so long without renewal.
    max_deliveries: buried instead of handled after so many failures, by Redis's own count.
    """

    claim_idle_s: float = 5.0
    renew_every_s: float = 1.5
    claim_every_s: float = 1.0
    max_deliveries: int = 5
    pause_s: float = 0.5
    drain_s: float = 10.0


Handler = Callable[[M, Delivery], Awaitable[Settlement]]
Burial = Callable[[M, Delivery, str], Awaitable[Settlement]]


@dataclass
class Consumer(Generic[M]):
    """One consumer of one group.

    handle: makes the effect durable, then returns the settlement. Unavailable and a Redis that is
    away are waited out in place; any other exception leaves the delivery to be claimed again.
    bury: what settles a delivery that failed too often, given the last error.
    owed: the topic carries clips, and the group owes each of them one outcome.
    also: other messages that the topic carries.
    """

    bus: Bus
    topic: Topic
    group: Group
    message: type[M]
    handle: Handler[M]
    bury: Burial[M]
    vital: Vital
    slots: int = 2
    owed: bool = False
    also: tuple[type[M], ...] = ()
    policy: DeliveryPolicy = field(default_factory=DeliveryPolicy)

    def __post_init__(self) -> None:
        self.name = f"{socket.gethostname()}-{ULID()}"
        self._in_work: dict[str, asyncio.Task[None]] = {}
        self._slot_freed = asyncio.Event()
        self._held_up: set[object] = set()
        self._turn = 0
        self._labels = (self.topic.name, self.group.value)
        self._forms = {type_of(form): form for form in self.also}

    async def run(self) -> None:
        """Consumes until it is cancelled; then lets what is in work come to its end."""
        try:
            while True:
                try:
                    await self.bus.join(self.topic, self.group)
                    await self._consume()
                except RedisError as error:
                    # A stream that was lost is joined anew; a server that is away is waited for.
                    if not is_passing(error) and "NOGROUP" not in str(error):
                        raise
                    self.vital.ailing(f"bus: {error}")
                    await asyncio.sleep(self.policy.pause_s)
        finally:
            await self._drain()

    async def _consume(self) -> None:
        loop = asyncio.get_running_loop()
        next_claim = loop.time()
        while True:
            free = self.slots - len(self._in_work)
            if free <= 0:
                self._slot_freed.clear()
                await self._slot_freed.wait()
                continue
            found: list[Delivery] = []
            if loop.time() >= next_claim:
                found = await self._claim(free)
                next_claim = loop.time() + self.policy.claim_every_s
            if not found:
                found = await self.bus.read(
                    self.topic, self.group, self.name, free_slots=free, turn=self._turn
                )
                self._turn += 1
            if not self._held_up:
                self.vital.well()
            for delivery in found:
                self._start(delivery)

    async def _claim(self, free: int) -> list[Delivery]:
        idle_ms = int(self.policy.claim_idle_s * 1000)
        return await self.bus.claim(
            self.topic, self.group, self.name, idle_ms=idle_ms, free_slots=free
        )

    def _start(self, delivery: Delivery) -> None:
        key = f"{delivery.partition}/{delivery.entry_id}"
        if key in self._in_work:
            return
        task = asyncio.create_task(self._work(delivery))
        self._in_work[key] = task
        IN_WORK.labels(*self._labels).set(len(self._in_work))

        def forget(done: asyncio.Task[None]) -> None:
            self._in_work.pop(key, None)
            if not done.cancelled() and (error := done.exception()):
                log.error("settlement_failed", entry=delivery.entry_id, error=repr(error))
            IN_WORK.labels(*self._labels).set(len(self._in_work))
            self._slot_freed.set()

        task.add_done_callback(forget)

    async def _work(self, delivery: Delivery) -> None:
        """One delivery to its end. The renewal runs beside the handler, and stops with it."""
        renewal = asyncio.create_task(self._renew(delivery))
        try:
            with (
                span(f"{self.group} {delivery.type}", delivery.traceparent),
                HANDLING.labels(*self._labels).time(),
                structlog.contextvars.bound_contextvars(entry=delivery.entry_id),
            ):
                end = await self._settle(delivery)
        finally:
            renewal.cancel()
        HANDLED.labels(*self._labels, end).inc()

    async def _settle(self, delivery: Delivery) -> str:
        if self.owed and not await self._patiently(lambda: self.bus.owes(delivery, self.group)):
            nothing = Settlement()
            await self._patiently(lambda: self.bus.settle(delivery, self.group, nothing, owed=True))
            return "not_owed"
        try:
            message = self._forms.get(delivery.type, self.message).unpack(delivery.body)
        except (ValidationError, ormsgpack.MsgpackDecodeError) as error:
            log.exception("unreadable_message", stream=delivery.stream, error=str(error))
            await self._patiently(lambda: self._let_go(delivery))
            return "unreadable"
        try:
            settlement, end = await self._outcome(message, delivery)
        except Exception as error:
            log.exception("handler_failed", deliveries=delivery.deliveries)
            fault = f"{type(error).__name__}: {error}"
            await self._patiently(lambda: self.bus.note_fault(delivery, self.group, fault))
            return "failed"
        first = await self._patiently(
            lambda: self.bus.settle(delivery, self.group, settlement, owed=self.owed)
        )
        return end if first else "late"

    async def _let_go(self, delivery: Delivery) -> None:
        """A clip that this group cannot read may still be read by the others."""
        if self.owed:
            release = Settlement(release=(delivery.entry_id,))
            await self.bus.settle(delivery, self.group, release, owed=True)
        else:
            await self.bus.discard(delivery, self.group)

    async def _outcome(self, message: M, delivery: Delivery) -> tuple[Settlement, str]:
        if delivery.deliveries > self.policy.max_deliveries:
            fault = await self._patiently(lambda: self.bus.fault_of(delivery, self.group))
            log.error("buried", deliveries=delivery.deliveries, fault=fault)
            return await self._patiently(lambda: self.bury(message, delivery, fault)), "dead"
        return await self._patiently(lambda: self.handle(message, delivery)), "done"

    async def _patiently(self, act: Callable[[], Awaitable[_T]]) -> _T:
        """Repeats an act until what it rests on is back; such waits cost the message nothing."""
        this = object()
        try:
            while True:
                try:
                    return await act()
                except (RedisError, Unavailable) as error:
                    if isinstance(error, RedisError) and not is_passing(error):
                        raise
                    self._held_up.add(this)
                    self.vital.ailing(str(error))
                    await asyncio.sleep(self.policy.pause_s)
        finally:
            self._held_up.discard(this)

    async def _renew(self, delivery: Delivery) -> None:
        while True:
            await asyncio.sleep(self.policy.renew_every_s)
            try:
                if not await self.bus.renew(delivery, self.group, self.name):
                    log.warning("delivery_was_claimed", entry=delivery.entry_id)
                    return
            except RedisError:
                continue

    async def _drain(self) -> None:
        """What is not through in time stays pending, and another consumer claims it."""
        tasks = list(self._in_work.values())
        if not tasks:
            return
        _, unfinished = await asyncio.wait(tasks, timeout=self.policy.drain_s)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)


_T = TypeVar("_T")
