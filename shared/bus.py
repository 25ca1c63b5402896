"""Messages <-> Redis streams: publish, read, renew, claim, settle.

Written for Redis 6.2 and newer. Reads yield lists, never more than there are free slots.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import ormsgpack
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import ResponseError

from shared.redis_client import open_redis
from shared.scripts import SHARED_LUA, load_script
from shared.telemetry import current_traceparent
from shared.topics import CLIPS, PartitionKeys, Topic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from redis.asyncio import Redis

    from shared.messages import Message
    from shared.topics import Group

log = structlog.get_logger(__name__)

READ_BLOCK_MS = 1_000

SILENCE_S = 60.0
"""A server that has not answered a blocking read for so long is away, though nobody closed the
connection (a cut cable, a paused machine). No read may block for longer."""


@dataclass(frozen=True)
class Delivery:
    """One entry of a stream, in the hands of this consumer.

    deliveries: how often Redis has handed it out, this time included.
    """

    topic: Topic
    partition: int
    entry_id: str
    type: str
    body: bytes
    traceparent: str
    deliveries: int = 1

    @property
    def stream(self) -> str:
        return self.topic.key(self.partition)


@dataclass(frozen=True)
class Settlement:
    """How a delivery ends.

    outputs: published with its acknowledgement. release: entries of the clips whose frames this
    reader no longer needs.
    """

    outputs: tuple[tuple[Topic, Message], ...] = ()
    release: tuple[str, ...] = ()


@dataclass
class Bus:
    """The streams of one Redis server, and the server that keeps frame bytes.

    `redis` is for commands that answer at once, `waiting` for reads that block: redis-py's default
    socket time-out would cut those off.
    """

    url: str
    frames_url: str = ""
    partitions: int = 1
    redis: Redis = field(init=False)
    waiting: Redis = field(init=False)
    frames: Redis = field(init=False)

    def __post_init__(self) -> None:
        patient = Retry(ExponentialBackoff(cap=0.5, base=0.05), 2)
        options: dict[str, Any] = {"protocol": 2, "socket_timeout": 10, "retry": patient}
        self.redis = open_redis(self.url, **options)
        self.frames = open_redis(self.frames_url or self.url, **options)
        self.waiting = open_redis(
            self.url, protocol=2, socket_timeout=SILENCE_S, retry=Retry(NoBackoff(), 0)
        )
        self._settle = load_script(self.redis, SHARED_LUA / "settle.lua")
        self._renew = load_script(self.redis, SHARED_LUA / "renew.lua")
        self._release = load_script(self.redis, SHARED_LUA / "release.lua")

    async def close(self) -> None:
        for client in (self.redis, self.waiting, self.frames):
            await client.aclose()

    async def ping(self) -> None:
        """Raises redis.ConnectionError where a server is away."""
        await self.redis.ping()
        await self.frames.ping()

    async def publish(self, topic: Topic, message: Message, partition: int = 0) -> str:
        """Appends a message; returns its entry id. A topic's fuse cuts its oldest entries."""
        entry: Any = await self.redis.xadd(
            topic.key(partition),
            envelope(message),
            maxlen=topic.fuse or None,
            approximate=True,
        )
        return str(entry.decode())

    async def join(self, topic: Topic, group: Group) -> None:
        """Makes the group on every partition of the topic, from the beginning of the stream."""
        for partition in self.partitions_of(topic):
            try:
                await self.redis.xgroup_create(topic.key(partition), group, id="0", mkstream=True)
            except ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise

    def partitions_of(self, topic: Topic) -> range:
        return range(self.partitions if topic.partitioned else 1)

    async def read(
        self, topic: Topic, group: Group, consumer: str, *, free_slots: int, turn: int = 0
    ) -> list[Delivery]:
        """New entries, at most `free_slots`, from the partitions in rotation beginning at `turn`.

        Waits up to a second where there are none.
        """
        streams = [topic.key(partition) for partition in self.partitions_of(topic)]
        newest = await self._newest(streams)
        found: list[Delivery] = []
        for offset in range(len(streams)):
            partition = (turn + offset) % len(streams)
            reply: Any = await self.redis.xreadgroup(
                group, consumer, {streams[partition]: ">"}, count=free_slots - len(found)
            )
            for _, entries in reply or []:
                found += [_delivery(topic, partition, entry, fields) for entry, fields in entries]
            if len(found) >= free_slots:
                break
        if not found:
            await self.waiting.xread(newest, count=1, block=READ_BLOCK_MS)
        return found

    async def _newest(self, streams: Sequence[str]) -> dict[Any, Any]:
        """The last entry of each stream, noted before it is read, so that none slips through
        between a read that finds nothing and the wait."""
        async with self.redis.pipeline(transaction=False) as pipe:
            for stream in streams:
                pipe.xrevrange(stream, count=1)
            replies = await pipe.execute()
        return {
            stream: reply[0][0] if reply else "0-0"
            for stream, reply in zip(streams, replies, strict=True)
        }

    async def claim(
        self, topic: Topic, group: Group, consumer: str, *, idle_ms: int, free_slots: int
    ) -> list[Delivery]:
        """Takes over entries that their consumer has left idle for too long.

        On Redis 6.2 an entry that was trimmed away stays pending for ever: such are acknowledged
        here and logged.
        """
        claimed: list[Delivery] = []
        for partition in self.partitions_of(topic):
            free = free_slots - len(claimed)
            if free <= 0:
                break
            stream = topic.key(partition)
            pending: Any = await self.redis.xpending_range(
                stream, group, min="-", max="+", count=free, idle=idle_ms
            )
            for entry in pending:
                reply: Any = await self.redis.xclaim(
                    stream,
                    group,
                    consumer,
                    min_idle_time=idle_ms,
                    message_ids=[entry["message_id"]],
                )
                alive = [(entry_id, fields) for entry_id, fields in reply if fields]
                for entry_id, fields in alive:
                    count = entry["times_delivered"] + 1
                    claimed.append(_delivery(topic, partition, entry_id, fields, count))
                if not alive:
                    await self._forget_trimmed(stream, group, entry["message_id"])
        return claimed

    async def _forget_trimmed(self, stream: str, group: Group, entry_id: bytes) -> None:
        """Leaves alone what is still there, or what its consumer has just settled."""
        if await self.redis.xrange(stream, entry_id, entry_id):
            return
        if await self.redis.xack(stream, group, entry_id):
            log.error("entry_trimmed", stream=stream, entry=entry_id.decode())

    async def renew(self, delivery: Delivery, group: Group, consumer: str) -> bool:
        """False where another consumer has claimed the delivery meanwhile."""
        return bool(
            await self._renew(keys=[delivery.stream], args=[group, consumer, delivery.entry_id])
        )

    async def settle(
        self, delivery: Delivery, group: Group, settlement: Settlement, *, owed: bool = False
    ) -> bool:
        """Publishes the outcome and acknowledges the delivery in one atomic step.

        owed: the entry is a clip for which the group owes an outcome; the first settlement wins.
        Returns False where somebody else had settled it: then nothing was published.
        """
        job = {
            "group": group.value,
            "entry": delivery.entry_id,
            "partition": delivery.partition,
            "owed": owed,
            "release": settlement.release,
        }
        # Bodies go beside the job: the msgpack of Redis 6.2 knows no binary strings.
        args: list[Any] = [ormsgpack.packb(job)]
        for topic, message in settlement.outputs:
            args += [topic.key(delivery.partition), topic.fuse, *envelope(message).values()]
        first, *freed = await self._settle(keys=[delivery.stream], args=args)
        if freed:
            await self.frames.unlink(*freed)
        return bool(first)

    async def release(self, partition: int, entries: Sequence[str]) -> None:
        """One reader no longer needs the frames of these clips."""
        if entries:
            job = ormsgpack.packb({"partition": partition, "entries": list(entries)})
            if freed := await self._release(keys=[CLIPS.key(partition)], args=[job]):
                await self.frames.unlink(*freed)

    async def discard(self, delivery: Delivery, group: Group) -> None:
        """Acknowledges and removes an entry that nobody can read."""
        async with self.redis.pipeline() as pipe:
            pipe.xack(delivery.stream, group, delivery.entry_id)
            pipe.xdel(delivery.stream, delivery.entry_id)
            await pipe.execute()

    async def owes(self, delivery: Delivery, group: Group) -> bool:
        """Whether the group still owes an outcome for this clip (it may have been shed)."""
        key = PartitionKeys(delivery.partition).open(group)
        return await self.redis.zscore(key, delivery.entry_id) is not None

    async def backlog(self, topic: Topic) -> int:
        """Entries that no reader has settled yet, over all partitions."""
        async with self.redis.pipeline(transaction=False) as pipe:
            for partition in self.partitions_of(topic):
                pipe.xlen(topic.key(partition))
            return sum(await pipe.execute())

    async def open_clips(self, group: Group) -> int:
        """Clips for which the group still owes an outcome, over all partitions."""
        async with self.redis.pipeline(transaction=False) as pipe:
            for partition in range(self.partitions):
                pipe.zcard(PartitionKeys(partition).open(group))
            return sum(await pipe.execute())

    async def note_fault(self, delivery: Delivery, group: Group, error: str) -> None:
        """Remembers why a handler failed, for the letter's obituary."""
        key = PartitionKeys(delivery.partition).faults
        await self.redis.hset(key, f"{group}/{delivery.entry_id}", error[:2_000])

    async def fault_of(self, delivery: Delivery, group: Group) -> str:
        key = PartitionKeys(delivery.partition).faults
        error: Any = await self.redis.hget(key, f"{group}/{delivery.entry_id}")
        return str(error.decode()) if error else "the worker died without a word"

    async def fetch_frames(self, keys: Sequence[str]) -> list[bytes | None]:
        """Bytes of frames; None for what has expired."""
        found: Any = await self.frames.mget(keys) if keys else []
        return list(found)


def type_of(form: type[Message]) -> str:
    """What an entry calls this form of message."""
    return getattr(form, "TYPE", form.__name__)


def envelope(message: Message) -> dict[Any, Any]:
    """The fields of a stream entry, in their order: type, body, traceparent."""
    return {
        "type": type_of(type(message)),
        "body": message.pack(),
        "traceparent": current_traceparent(),
    }


def _delivery(
    topic: Topic, partition: int, entry: bytes, fields: dict[bytes, bytes], deliveries: int = 1
) -> Delivery:
    return Delivery(
        topic=topic,
        partition=partition,
        entry_id=entry.decode(),
        type=fields.get(b"type", b"").decode(),
        body=fields.get(b"body", b""),
        traceparent=fields.get(b"traceparent", b"").decode(),
        deliveries=deliveries,
    )
