from __future__ import annotations

import asyncio

import pytest

from shared.bus import Bus, Settlement
from shared.messages import EventRaised, JobWaiting
from shared.topics import DEAD, SCORES, SIGHTINGS, Group, Topic

GROUP = Group.COMPOSER


@pytest.fixture
async def many(redis_server):
    bus = Bus(redis_server.url, partitions=4)
    await bus.redis.flushall()
    yield bus
    await bus.close()


def job(n: int) -> JobWaiting:
    return JobWaiting(job_id=str(n))


def ids(deliveries) -> list[str]:
    return [JobWaiting.unpack(delivery.body).job_id for delivery in deliveries]


async def read(bus, consumer="a", free_slots=10, topic=SCORES, turn=0):
    return await bus.read(topic, GROUP, consumer, free_slots=free_slots, turn=turn)


async def test_no_more_is_read_than_there_are_free_slots(many):
    await many.join(SCORES, GROUP)
    for n in range(12):
        await many.publish(SCORES, job(n), partition=n % 4)
    first = await read(many, free_slots=5)
    rest = await read(many, free_slots=10, turn=1)
    assert len(first) == 5
    assert sorted(ids(first) + ids(rest), key=int) == [str(n) for n in range(12)]


async def test_a_read_that_waits_is_woken_by_a_publication(many):
    await many.join(SCORES, GROUP)
    waiting = asyncio.create_task(read(many))
    await asyncio.sleep(0.1)
    await many.publish(SCORES, job(1), partition=3)
    assert await asyncio.wait_for(waiting, 0.8) == []
    assert ids(await read(many)) == ["1"]


async def test_a_settled_delivery_is_gone_and_its_outcome_is_published(bus):
    await bus.join(SCORES, GROUP)
    await bus.publish(SCORES, job(1))
    (delivery,) = await read(bus)
    assert await bus.settle(delivery, GROUP, Settlement(outputs=((SIGHTINGS, job(2)),)))
    assert await bus.backlog(SCORES) == 0
    assert await bus.backlog(SIGHTINGS) == 1
    assert await bus.claim(SCORES, GROUP, "b", idle_ms=0, free_slots=9) == []


async def test_only_the_first_settlement_of_a_delivery_is_published(bus):
    await bus.join(SCORES, GROUP)
    await bus.publish(SCORES, job(1))
    (delivery,) = await read(bus)
    (again,) = await bus.claim(SCORES, GROUP, "b", idle_ms=0, free_slots=1)
    outcome = Settlement(outputs=((SIGHTINGS, job(2)),))
    assert again.deliveries == 2
    assert await bus.settle(again, GROUP, outcome)
    assert not await bus.settle(delivery, GROUP, outcome)
    assert await bus.backlog(SIGHTINGS) == 1


async def test_what_is_renewed_is_not_claimed_by_others(bus):
    await bus.join(SCORES, GROUP)
    await bus.publish(SCORES, job(1))
    (delivery,) = await read(bus)
    for _ in range(4):
        await asyncio.sleep(0.1)
        assert await bus.renew(delivery, GROUP, "a")
        assert await bus.claim(SCORES, GROUP, "b", idle_ms=200, free_slots=1) == []
    await asyncio.sleep(0.25)
    (claimed,) = await bus.claim(SCORES, GROUP, "b", idle_ms=200, free_slots=1)
    assert claimed.deliveries == 2, "renewals are no deliveries"
    assert not await bus.renew(delivery, GROUP, "a"), "it is b's now"


async def test_a_pending_entry_that_was_trimmed_away_does_not_stay_pending(bus):
    await bus.join(SCORES, GROUP)
    for n in range(3):
        await bus.publish(SCORES, job(n))
    lost, *_ = await read(bus)
    await bus.redis.xdel(SCORES.key(0), lost.entry_id)
    claimed = await bus.claim(SCORES, GROUP, "b", idle_ms=0, free_slots=10)
    assert ids(claimed) == ["1", "2"]
    assert (await bus.redis.xpending(SCORES.key(0), GROUP))["pending"] == 2


async def test_a_fuse_bounds_a_stream_that_nobody_reads(bus):
    fused = Topic("fused.v1", partitioned=False, fuse=200)
    for n in range(1_000):
        await bus.publish(fused, job(n))
    assert await bus.backlog(fused) < 400


async def test_a_fuse_bounds_what_settlements_publish_too(bus):
    fused = Topic("fused.v1", partitioned=False, fuse=200)
    await bus.join(SCORES, GROUP)
    for n in range(600):
        await bus.publish(SCORES, job(n))
    for delivery in await read(bus, free_slots=600):
        await bus.settle(delivery, GROUP, Settlement(outputs=((fused, job(1)),)))
    assert 200 <= await bus.backlog(fused) < 400


async def test_an_entry_that_was_settled_while_it_was_claimed_is_no_loss(bus, capsys):
    await bus.join(SCORES, GROUP)
    for n in range(200):
        await bus.publish(SCORES, job(n))
    deliveries = await read(bus, free_slots=200)

    async def settle_all():
        for delivery in deliveries:
            await bus.settle(delivery, GROUP, Settlement())

    async def claim_all():
        for _ in range(20):
            await bus.claim(SCORES, GROUP, "b", idle_ms=0, free_slots=20)

    await asyncio.gather(settle_all(), claim_all())
    assert await bus.backlog(SCORES) == 0
    assert "entry_trimmed" not in capsys.readouterr().out


async def test_the_reason_of_a_failure_is_remembered_until_it_is_settled(bus):
    await bus.join(SCORES, GROUP)
    await bus.publish(SCORES, job(1))
    (delivery,) = await read(bus)
    await bus.note_fault(delivery, GROUP, "ValueError: no")
    assert await bus.fault_of(delivery, GROUP) == "ValueError: no"
    await bus.settle(delivery, GROUP, Settlement())
    assert "without a word" in await bus.fault_of(delivery, GROUP)


async def test_messages_survive_the_wire(bus):
    raised = EventRaised(
        type="alert.opened", camera_id="gate", raised_us=1, data={"peak": 0.5, "n": [1]}
    )
    await bus.publish(DEAD, raised)
    ((_, fields),) = await bus.redis.xrange(DEAD.key())
    assert EventRaised.unpack(fields[b"body"]) == raised
