from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path

import ormsgpack
import pytest
from redis.exceptions import OutOfMemoryError

from shared.bus import Bus, Settlement
from shared.consumer import Consumer, DeliveryPolicy
from shared.errors import Unavailable
from shared.messages import (
    ClipOutcome,
    ClipReady,
    FrameRef,
    JobWaiting,
    Outcome,
    PersonsRevised,
)
from shared.scripts import load_script
from shared.topics import CLIPS, SCORES, SIGHTINGS, Group, PartitionKeys
from tests.unit.shared.floor import end_of, start, until
from tests.unit.shared.programs import consume as consume_for_ever

GROUP = Group.COMPOSER
QUICK = DeliveryPolicy(
    claim_idle_s=0.3,
    renew_every_s=0.05,
    claim_every_s=0.05,
    max_deliveries=3,
    pause_s=0.05,
    drain_s=5.0,
)


def job(n: int) -> JobWaiting:
    return JobWaiting(job_id=str(n))


async def pass_on(message, _):
    return Settlement(outputs=((SIGHTINGS, message),))


async def bury_nothing(message, _, fault):
    raise AssertionError(f"{message} was buried: {fault}")


@pytest.fixture
def consume(bus, vital, monkeypatch):
    """Runs a consumer of its own for a while; cancelled at the end, as a service would do."""

    monkeypatch.setattr("shared.bus.READ_BLOCK_MS", 100)

    @asynccontextmanager
    async def running(handle=pass_on, bury=bury_nothing, *, on=bus, **more):
        settings = {"topic": SCORES, "group": GROUP, "message": JobWaiting, "policy": QUICK} | more
        consumer = Consumer(on, handle=handle, bury=bury, vital=vital, **settings)
        task = asyncio.create_task(consumer.run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return running


async def published(bus: Bus, topic=SIGHTINGS) -> list[int]:
    """What has been announced on a topic, in its order."""
    entries = await bus.redis.xrange(topic.key())
    return [int(JobWaiting.unpack(fields[b"body"]).job_id) for _, fields in entries]


async def has_published(bus: Bus, count: int) -> bool:
    return await bus.redis.xlen(SIGHTINGS.key()) >= count


async def pending(bus: Bus, topic=SCORES, group=GROUP) -> int:
    return (await bus.redis.xpending(topic.key(), group))["pending"]


async def test_every_delivery_is_handled_and_settled_once(bus, consume):
    for n in range(30):
        await bus.publish(SCORES, job(n))
    async with consume(slots=4):
        await until(lambda: has_published(bus, 30))
        assert sorted(await published(bus)) == list(range(30))
        assert await bus.backlog(SCORES) == 0
        assert await pending(bus) == 0


async def test_a_handler_that_fails_is_tried_again_and_then_buried_with_its_last_fault(
    bus, consume
):
    attempts, obituaries = [], []

    async def fail(message, delivery):
        attempts.append(delivery.deliveries)
        raise ValueError(f"attempt {len(attempts)}")

    async def bury(message, delivery, fault):
        obituaries.append(fault)
        return Settlement(outputs=((SIGHTINGS, message),))

    await bus.publish(SCORES, job(7))
    async with consume(fail, bury):
        await until(lambda: has_published(bus, 1))
        assert attempts == [1, 2, 3]
        assert obituaries == ["ValueError: attempt 3"]
        assert await published(bus) == [7]
        assert await bus.backlog(SCORES) == 0


async def test_a_topic_may_carry_another_message_and_each_is_read_as_what_it_is(bus, consume):
    heard = []

    async def hear(message, _):
        heard.append(message)
        return Settlement()

    other = PersonsRevised(revision=3, forgotten=("gate/1/0/0",))
    await bus.publish(SCORES, other)
    await bus.publish(SCORES, job(7))
    async with consume(hear, also=(PersonsRevised,), slots=1):
        await until(lambda: len(heard) == 2)
    assert heard == [other, job(7)]


async def test_a_failure_holds_up_nobody_else(bus, consume):
    async def fail_on_zero(message, _):
        if message.job_id == "0":
            raise ValueError("zero")
        return await pass_on(message, _)

    async def bury(message, _, fault):
        return Settlement()

    for n in range(10):
        await bus.publish(SCORES, job(n))
    async with consume(fail_on_zero, bury, slots=1):
        await until(lambda: has_published(bus, 9))
        assert sorted(await published(bus)) == list(range(1, 10))


async def test_a_burial_that_fails_is_tried_again(bus, consume):
    burials = []

    async def fail(message, _):
        raise ValueError("no")

    async def bury(message, _, fault):
        burials.append(fault)
        if len(burials) == 1:
            raise OSError("no ground to bury it in")
        return Settlement(outputs=((SIGHTINGS, message),))

    await bus.publish(SCORES, job(1))
    async with consume(fail, bury):
        await until(lambda: has_published(bus, 1))
    assert burials == ["ValueError: no", "OSError: no ground to bury it in"]


async def test_what_takes_long_stays_with_the_worker_that_renews_it(bus, consume):
    started = []

    async def slowly(message, delivery):
        started.append(delivery.deliveries)
        await asyncio.sleep(4 * QUICK.claim_idle_s)
        return await pass_on(message, delivery)

    await bus.publish(SCORES, job(1))
    async with consume(slowly), consume(slowly):
        await until(lambda: has_published(bus, 1))
    assert started == [1]


async def test_unavailable_is_waited_out_and_costs_no_delivery(bus, consume, vital):
    attempts, reasons = [], []

    async def wait_for_the_database(message, delivery):
        attempts.append(delivery.deliveries)
        if len(attempts) <= 2 * QUICK.max_deliveries:
            raise Unavailable("the database is away")
        return await pass_on(message, delivery)

    async with consume(wait_for_the_database, slots=2):
        await until(lambda: vital.reason is None)
        await bus.publish(SCORES, job(1))
        await until(lambda: vital.reason is not None)
        while len(attempts) < 2 * QUICK.max_deliveries:
            reasons.append(vital.reason)
            await asyncio.sleep(0.01)
        await until(lambda: has_published(bus, 1))
        await until(lambda: vital.reason is None)
    assert set(attempts) == {1}
    assert set(reasons) == {"the database is away"}, "no reader's success hides the waiting"


async def test_a_full_redis_is_waited_out_like_one_that_is_away(bus, consume):
    attempts = []

    async def write_to_the_full(message, delivery):
        attempts.append(delivery.deliveries)
        if len(attempts) <= 2 * QUICK.max_deliveries:
            raise OutOfMemoryError("command not allowed when used memory > 'maxmemory'.")
        return await pass_on(message, delivery)

    await bus.publish(SCORES, job(1))
    async with consume(write_to_the_full):
        await until(lambda: has_published(bus, 1))
    assert set(attempts) == {1}


async def test_a_wrong_command_is_a_fault_of_the_handler_and_not_waited_out(bus, consume):
    async def push_to_what_is_no_list(message, _):
        await bus.redis.set("word", "x")
        await bus.redis.lpush("word", "y")

    faults = []

    async def bury(message, _, fault):
        faults.append(fault)
        return Settlement()

    await bus.publish(SCORES, job(1))
    async with consume(push_to_what_is_no_list, bury):
        await until(lambda: faults)
    assert "WRONGTYPE" in faults[0]


async def test_no_more_is_taken_than_there_are_slots(bus, consume):
    at_work, most = 0, 0
    go_on = asyncio.Event()

    async def stand_still(message, delivery):
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await go_on.wait()
        at_work -= 1
        return await pass_on(message, delivery)

    for n in range(20):
        await bus.publish(SCORES, job(n))
    async with consume(stand_still, slots=3):
        await until(lambda: at_work == 3)
        assert await pending(bus) == 3, "the others are free for other workers"
        go_on.set()
        await until(lambda: has_published(bus, 20))
    assert most == 3
    assert sorted(await published(bus)) == list(range(20))


async def test_a_message_that_nobody_can_read_is_discarded(bus, consume):
    await bus.redis.xadd(SCORES.key(), {"type": "JobWaiting", "body": b"\xc1 no msgpack"})
    await bus.redis.xadd(SCORES.key(), {"type": "JobWaiting", "body": ormsgpack.packb([1])})
    await bus.redis.xadd(SCORES.key(), {"no": "body"})
    await bus.publish(SCORES, job(1))
    async with consume():
        await until(lambda: has_published(bus, 1))
        await until(lambda: _is_empty(bus))
        assert await pending(bus) == 0


async def _is_empty(bus: Bus) -> bool:
    return await bus.backlog(SCORES) == 0


async def test_a_stream_that_was_lost_is_joined_again(bus, consume):
    async with consume(slots=2):
        await bus.publish(SCORES, job(1))
        await until(lambda: has_published(bus, 1))
        await bus.redis.delete(SCORES.key())
        await bus.publish(SCORES, job(2))
        await until(lambda: has_published(bus, 2))
        await bus.redis.xgroup_destroy(SCORES.key(), GROUP)
        await bus.publish(SCORES, job(3))
        await until(lambda: has_published(bus, 3))
        assert await published(bus) == [1, 2, 3]


async def test_what_is_in_work_at_the_end_is_brought_to_its_end(bus, consume):
    started, go_on = [], asyncio.Event()

    async def stand_still(message, delivery):
        started.append(message.job_id)
        await go_on.wait()
        return await pass_on(message, delivery)

    for n in range(5):
        await bus.publish(SCORES, job(n))
    async with consume(stand_still, slots=2) as task:
        await until(lambda: len(started) == 2)
        task.cancel()
        await asyncio.sleep(0.1)
        assert not task.done(), "it lets them finish"
        go_on.set()
        await until(task.done)
    assert await published(bus) == [0, 1]
    assert started == ["0", "1"], "nothing is begun any more"


async def test_what_does_not_end_in_time_is_left_for_another_consumer(bus, consume):
    impatient = DeliveryPolicy(drain_s=0.05, claim_idle_s=0.3, claim_every_s=0.05)
    started = asyncio.Event()

    async def stand_still(message, delivery):
        started.set()
        await asyncio.Event().wait()

    await bus.publish(SCORES, job(1))
    async with consume(stand_still, policy=impatient) as task:
        await asyncio.wait_for(started.wait(), 20)
        task.cancel()
        await until(task.done)
    assert await pending(bus) == 1
    async with consume():
        await until(lambda: has_published(bus, 1))


async def test_a_worker_killed_in_mid_work_loses_nothing_and_doubles_nothing(
    redis_server, bus, consume
):
    total = 120
    for n in range(total):
        await bus.publish(SCORES, job(n))
    for deaths in (1, 2):
        worker = start(consume_for_ever, redis_server.url)
        await until(lambda count=deaths * 30: has_published(bus, count), within_s=40)
        await until(lambda at_work=worker: _is_caught_at_work(bus, at_work))
        worker.kill()
        await end_of(worker)
        assert await pending(bus) > 0, "it died with work in its hands"
    async with consume(slots=4):
        await until(lambda: has_published(bus, total))
        await until(lambda: _is_empty(bus))
    assert sorted(await published(bus)) == list(range(total))


async def _is_caught_at_work(bus: Bus, worker) -> bool:
    """Stops the worker in its tracks; lets it go on where its hands were empty."""
    os.kill(worker.pid, signal.SIGSTOP)
    if await pending(bus):
        return True
    os.kill(worker.pid, signal.SIGCONT)
    return False


async def test_a_redis_that_goes_and_comes_back_interrupts_and_loses_nothing(
    own_redis, consume, vital
):
    bus = Bus(own_redis.url)
    handled: Counter[str] = Counter()

    async def count(message, delivery):
        handled[message.job_id] += 1
        await asyncio.sleep(0.02)
        return await pass_on(message, delivery)

    for n in range(100):
        await bus.publish(SCORES, job(n))
    async with consume(count, on=bus, slots=2):
        await until(lambda: has_published(bus, 10))
        own_redis.stop()
        await until(lambda: vital.reason is not None)
        own_redis.start()
        await until(lambda: has_published(bus, 100))
        await until(lambda: vital.reason is None)
        assert sorted(await published(bus)) == list(range(100))
        assert await pending(bus) == 0
    await bus.close()


# Clips: two groups read one stream, and each owes every clip one outcome.


def clip(seq: int) -> dict[str, object]:
    frame = FrameRef(key=f"frame.{seq}.aa.5:{{0}}:gate", captured_us=seq, width=64, height=64)
    ready = ClipReady(
        camera_id="gate",
        born=1,
        epoch=0,
        seq=seq,
        frames=(frame,),
        owned_from=0,
        ready_us=1,
        expires_us=2,
    )
    return ready.model_dump(mode="python", exclude_none=True)


@pytest.fixture
def publish_clip(bus):
    script = load_script(bus.redis, Path(__file__).parent / "publish_clip.lua")

    async def publish(seq: int, **changes) -> str:
        body = clip(seq) | changes
        await bus.frames.set(clip(seq)["frames"][0]["key"], b"12345")
        groups = [Group.ANOMALY.value, Group.REID.value]
        job = ormsgpack.packb({"partition": 0, "clip": body, "groups": groups})
        return (await script(args=[job])).decode()

    return publish


def clips(group: Group) -> dict[str, object]:
    return {"topic": CLIPS, "group": group, "message": ClipReady, "owed": True}


async def score(message, delivery):
    done = ClipOutcome.of(message, delivery.entry_id, Outcome.DONE)
    return Settlement(outputs=((SIGHTINGS, done),), release=(delivery.entry_id,))


async def traces(bus: Bus) -> dict[str, object]:
    """All that Redis still holds on account of clips."""
    keys = PartitionKeys(0)
    return {
        "clips": await bus.redis.xlen(CLIPS.key()),
        "frames": len([key async for key in bus.frames.scan_iter("frame.*")]),
        "holders": await bus.redis.hlen(keys.holders),
        "bytes": int(await bus.redis.get(keys.bytes_in_flight) or 0),
        "open": await bus.open_clips(Group.ANOMALY) + await bus.open_clips(Group.REID),
    }


NOTHING = {"clips": 0, "frames": 0, "holders": 0, "bytes": 0, "open": 0}


async def leaves_nothing(bus: Bus) -> bool:
    return await traces(bus) == NOTHING


async def test_a_clip_lives_until_the_last_of_its_groups_lets_go(bus, consume, publish_clip):
    for seq in range(5):
        await publish_clip(seq)
    async with consume(score, **clips(Group.ANOMALY)):
        await until(lambda: has_published(bus, 5))
        assert await traces(bus) == {"clips": 5, "frames": 5, "holders": 5, "bytes": 25, "open": 5}
        async with consume(score, **clips(Group.REID)):
            await until(lambda: has_published(bus, 10))
            await until(lambda: leaves_nothing(bus))


async def test_a_clip_that_was_shed_is_passed_over(bus, consume, publish_clip):
    seen = []

    async def look(message, delivery):
        seen.append(message.seq)
        return await score(message, delivery)

    shed = await publish_clip(0)
    await publish_clip(1)
    await bus.redis.zrem(PartitionKeys(0).open(Group.REID), shed)
    async with consume(look, **clips(Group.REID)):
        await until(lambda: has_published(bus, 1))
        assert seen == [1]
        assert await pending(bus, CLIPS, Group.REID) == 0


async def test_a_clip_that_one_group_cannot_read_is_still_there_for_the_other(
    bus, consume, publish_clip
):
    async def shed_nothing(message, delivery):
        raise AssertionError("it cannot be read")

    await publish_clip(0, owned_from="a word")
    async with consume(shed_nothing, **clips(Group.ANOMALY)):
        await until(lambda: _open_is(bus, Group.ANOMALY, 0))
    assert await bus.redis.xlen(CLIPS.key()) == 1
    assert await bus.open_clips(Group.REID) == 1
    async with consume(shed_nothing, **clips(Group.REID)):
        await until(lambda: leaves_nothing(bus))


async def _open_is(bus: Bus, group: Group, count: int) -> bool:
    return await bus.open_clips(group) == count
