from __future__ import annotations

import asyncio

from shared.redis_client import open_redis


async def test_a_cancellation_is_never_lost_and_leaves_no_answer_behind(redis_server):
    redis = open_redis(redis_server.url, socket_timeout=10)

    async def ask_for_ever():
        while True:
            await redis.echo("a question of the cancelled task")

    for ticks in range(200):
        asking = asyncio.create_task(ask_for_ever())
        for _ in range(ticks % 50):
            await asyncio.sleep(0)
        asking.cancel()
        done, _ = await asyncio.wait([asking], timeout=10)
        assert done, "the cancellation was swallowed"
        assert await redis.echo(str(ticks)) == str(ticks).encode()
    await redis.aclose()


async def test_what_a_cancelled_task_still_has_to_say_is_said(redis_server):
    redis = open_redis(redis_server.url, socket_timeout=10)

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            await redis.set("last words", "goodbye")

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await redis.get("last words") == b"goodbye"
    await redis.aclose()
