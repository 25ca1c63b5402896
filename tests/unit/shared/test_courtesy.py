"""Training stands still while clips wait for their scores."""

from __future__ import annotations

import threading
import time

import pytest
from redis import Redis

from shared.courtesy import Courtesy
from shared.jobs import JobCancelled, JobContext
from shared.settings import FloorSettings
from shared.topics import Group, PartitionKeys

OPEN = PartitionKeys(1).open(Group.ANOMALY)


@pytest.fixture
def redis(redis_server):
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
        yield client


@pytest.fixture
def context(tmp_path):
    return JobContext("01JOB", tmp_path, note="step 3/9")


@pytest.fixture
def courtesy(redis_server):
    settings = FloorSettings(bus_url=redis_server.url, bus_partitions=2)
    courtesy = Courtesy(settings, Group.ANOMALY, waits_at=3)
    yield courtesy
    courtesy.close()


def test_it_waits_until_the_clips_are_scored_and_then_goes_on(redis, courtesy, context):
    redis.zadd(OPEN, {"1-1": 1, "1-2": 2, "1-3": 3})
    training = threading.Thread(target=courtesy.yield_to_clips, args=[context])
    training.start()
    training.join(0.5)
    assert training.is_alive()
    assert context.note.startswith("stands still")
    redis.zrem(OPEN, "1-1")
    training.join(10)
    assert not training.is_alive()
    assert context.note == "step 3/9"


def test_a_job_that_waits_can_be_cancelled(redis, courtesy, context):
    redis.zadd(OPEN, {"1-1": 1, "1-2": 2, "1-3": 3})
    context.stop.set()
    with pytest.raises(JobCancelled):
        courtesy.yield_to_clips(context)


def test_few_open_clips_and_an_absent_redis_hold_nothing_up(redis, courtesy, context, tmp_path):
    redis.zadd(OPEN, {"1-1": 1, "1-2": 2})
    nowhere = Courtesy(
        FloorSettings(bus_url=f"unix://{tmp_path}/none.sock"), Group.REID, waits_at=1
    )
    began = time.monotonic()
    courtesy.yield_to_clips(context)
    nowhere.yield_to_clips(context)
    nowhere.close()
    assert time.monotonic() - began < 1
