from __future__ import annotations

import asyncio
import threading

import pytest

from shared.batching import Batcher, BatchPolicy
from shared.errors import Overloaded, Unavailable


class Model:
    """Doubles numbers, a batch at a time, and stands still while its gate is closed."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[int]]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)

    def __call__(self, key, items):
        self.batches.append((key, list(items)))
        self.entered.release()
        if not self.gate.wait(20):
            raise TimeoutError("the test never opened the gate")
        return [item * 2 for item in items]

    async def is_at_work(self) -> None:
        await asyncio.to_thread(self.entered.acquire, timeout=20)


@pytest.fixture
def model():
    model = Model()
    yield model
    model.gate.set()


async def ask(batcher, *items, key="m"):
    """Puts the items into the queue, in their order."""
    calls = [asyncio.create_task(batcher(key, item)) for item in items]
    await asyncio.sleep(0)
    return calls


async def test_every_caller_gets_its_own_answer_in_order(model):
    async with Batcher(model, BatchPolicy(max_batch=4, lanes=1)) as batcher:
        answers = await asyncio.gather(*(batcher("m", n) for n in range(10)))
    assert answers == [n * 2 for n in range(10)]
    assert [item for _, items in model.batches for item in items] == list(range(10))
    assert max(len(items) for _, items in model.batches) == 4


@pytest.mark.parametrize(
    "broken",
    [
        lambda _, items: items[1:],
        lambda _, items: [*items, 1],
        lambda _, items: None,
        lambda _, items: next(iter(())),
        lambda _, items: 1 / 0,
    ],
    ids=["too few answers", "too many answers", "no answers", "StopIteration", "an error"],
)
async def test_a_model_that_breaks_its_contract_is_an_exception_for_every_caller(broken):
    async with Batcher(broken, BatchPolicy(max_batch=3, lanes=1)) as batcher:
        answers = await asyncio.wait_for(
            asyncio.gather(*(batcher("m", n) for n in range(3)), return_exceptions=True), 20
        )
    assert all(isinstance(answer, Exception) for answer in answers)


async def test_a_failed_batch_fails_only_itself():
    def divide(key, items):
        return [12 // item for item in items]

    async with Batcher(divide, BatchPolicy(max_batch=2, lanes=1)) as batcher:
        answers = await asyncio.gather(
            *(batcher("m", item) for item in (1, 2, 0, 3, 4, 6)), return_exceptions=True
        )
    assert answers[:2] == [12, 6]
    assert [type(answer) for answer in answers[2:4]] == [ZeroDivisionError] * 2
    assert answers[4:] == [3, 2]


async def test_an_abandoned_caller_costs_no_inference(model):
    model.gate.clear()
    async with Batcher(model, BatchPolicy(max_batch=1, lanes=1)) as batcher:
        (first,) = await ask(batcher, 1)
        await model.is_at_work()
        left, stayed = await ask(batcher, 2, 3)
        left.cancel()
        model.gate.set()
        assert await first == 2
        assert await stayed == 6
    assert [items for _, items in model.batches] == [[1], [3]]


async def test_a_caller_who_leaves_during_the_inference_takes_nothing_from_its_neighbours(model):
    model.gate.clear()
    async with Batcher(model, BatchPolicy(max_batch=2, lanes=1, max_wait_s=0.01)) as batcher:
        left, stayed = await ask(batcher, 1, 2)
        await model.is_at_work()
        left.cancel()
        model.gate.set()
        assert await stayed == 4
    assert [items for _, items in model.batches] == [[1, 2]]


async def test_a_full_queue_refuses_at_once(model):
    model.gate.clear()
    async with Batcher(model, BatchPolicy(max_batch=1, max_queue=2, lanes=1)) as batcher:
        at_work = await ask(batcher, 1)
        await model.is_at_work()
        waiting = await ask(batcher, 2, 3)
        with pytest.raises(Overloaded):
            await batcher("m", 4)
        model.gate.set()
        assert await asyncio.gather(*at_work, *waiting) == [2, 4, 6]


async def test_a_queue_full_of_abandoned_calls_is_not_full(model):
    model.gate.clear()
    async with Batcher(model, BatchPolicy(max_batch=1, max_queue=2, lanes=1)) as batcher:
        at_work = await ask(batcher, 1)
        await model.is_at_work()
        for call in await ask(batcher, 2, 3):
            call.cancel()
        await asyncio.sleep(0)
        (late,) = await ask(batcher, 4)
        model.gate.set()
        assert await asyncio.gather(*at_work, late) == [2, 8]


async def test_keys_are_never_mixed_in_a_batch_and_keep_their_order(model):
    asked = [("ab"[n % 2], n) for n in range(20)]
    async with Batcher(model, BatchPolicy(max_batch=4, max_wait_s=0.01, lanes=1)) as batcher:
        answers = await asyncio.gather(*(batcher(key, n) for key, n in asked))
    assert answers == [n * 2 for n in range(20)]
    for key in "ab":
        run = [item for batch_key, items in model.batches if batch_key == key for item in items]
        assert run == [n for asked_key, n in asked if asked_key == key]
    assert model.batches[:2] == [("a", [0, 2, 4, 6]), ("b", [1, 3, 5, 7])], "the oldest call first"


async def test_a_batch_that_is_not_full_waits_for_company(model):
    async with Batcher(model, BatchPolicy(max_batch=8, max_wait_s=0.2, lanes=1)) as batcher:
        (first,) = await ask(batcher, 1)
        (second,) = await ask(batcher, 2)
        assert await asyncio.gather(first, second) == [2, 4]
    assert model.batches == [("m", [1, 2])]


async def test_lanes_work_side_by_side():
    together = threading.Barrier(2)

    def meet(key, items):
        together.wait(20)
        return items

    async with Batcher(meet, BatchPolicy(max_batch=1, lanes=2)) as batcher:
        assert await asyncio.gather(batcher("m", 1), batcher("m", 2)) == [1, 2]


async def test_the_event_loop_turns_while_the_model_works(model):
    model.gate.clear()
    async with Batcher(model, BatchPolicy(lanes=1)) as batcher:
        (call,) = await ask(batcher, 1)
        await model.is_at_work()
        # Were the model on the loop, nobody could open its gate.
        asyncio.get_running_loop().call_later(0.01, model.gate.set)
        assert await call == 2


async def test_at_the_end_everyone_who_waits_hears_of_it(model):
    model.gate.clear()
    async with Batcher(model, BatchPolicy(max_batch=1, lanes=1)) as batcher:
        calls = await ask(batcher, 1)
        await model.is_at_work()
        calls += await ask(batcher, 2, 3)
    answers = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 20)
    assert [type(answer) for answer in answers] == [Unavailable] * 3
    with pytest.raises(Unavailable):
        await batcher("m", 4)
