"""Single calls -> batches for a model -> single answers.

Four laws, a test each: every caller gets an answer or an exception; a failed batch fails only
itself; an abandoned caller costs nothing; a full queue refuses at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from shared.errors import Overloaded, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

Key = TypeVar("Key", bound="Hashable")
Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class _Waiting(Generic[Key, Item, Answer]):
    key: Key
    item: Item
    future: asyncio.Future[Answer]


@dataclass(frozen=True)
class BatchPolicy:
    """How calls are put together.

    max_wait_s: how long a batch that is not full waits for company: 0 on a CPU, where batches gain
    nothing, a few milliseconds on a GPU. lanes: batches at work side by side.
    """

    max_batch: int = 1
    max_wait_s: float = 0.0
    max_queue: int = 64
    lanes: int = 2


class Batcher(Generic[Key, Item, Answer]):
    """Runs `infer(key, items) -> answers` in threads of its own, on batches of one key.

    key: what must be equal within a batch, such as the model's digest.
    """

    def __init__(
        self,
        infer: Callable[[Key, Sequence[Item]], Sequence[Answer]],
        policy: BatchPolicy,
    ) -> None:
        self._infer = infer
        self._policy = policy
        self._queue: deque[_Waiting[Key, Item, Answer]] = deque()
        self._arrived = asyncio.Event()
        self._threads = ThreadPoolExecutor(policy.lanes, thread_name_prefix="batch")
        self._lanes: list[asyncio.Task[None]] = []
        self._closed = False

    async def __aenter__(self) -> Batcher[Key, Item, Answer]:
        self._lanes = [asyncio.create_task(self._lane()) for _ in range(self._policy.lanes)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closed = True
        for lane in self._lanes:
            lane.cancel()
        await asyncio.gather(*self._lanes, return_exceptions=True)
        for waiting in self._queue:
            if not waiting.future.done():
                waiting.future.set_exception(Unavailable("the service is stopping"))
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, key: Key, item: Item) -> Answer:
        """The answer for one item.

        Raises Overloaded when the queue is full, Unavailable when the batcher is closed, and
        whatever the inference of this item's batch raised.
        """
        if self._closed:
            raise Unavailable("the service is stopping")
        if len(self._queue) >= self._policy.max_queue:
            self._drop_abandoned()
        if len(self._queue) >= self._policy.max_queue:
            raise Overloaded(f"{len(self._queue)} calls are waiting for the model already")
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(key, item, future))
        self._arrived.set()
        return await future

    def _drop_abandoned(self) -> None:
        self._queue = deque(waiting for waiting in self._queue if not waiting.future.done())

    async def _lane(self) -> None:
        while True:
            batch = await self._next_batch()
            await self._answer(batch)

    async def _next_batch(self) -> list[_Waiting[Key, Item, Answer]]:
        while True:
            while not self._queue:
                self._arrived.clear()
                await self._arrived.wait()
            if self._policy.max_wait_s and len(self._queue) < self._policy.max_batch:
                await asyncio.sleep(self._policy.max_wait_s)
            if batch := self._take():
                return batch

    def _take(self) -> list[_Waiting[Key, Item, Answer]]:
        """The oldest live calls of one key; those of other keys keep their places."""
        batch: list[_Waiting[Key, Item, Answer]] = []
        others: deque[_Waiting[Key, Item, Answer]] = deque()
        while self._queue and len(batch) < self._policy.max_batch:
            waiting = self._queue.popleft()
            if waiting.future.done():
                continue
            if batch and waiting.key != batch[0].key:
                others.append(waiting)
            else:
                batch.append(waiting)
        self._queue.extendleft(reversed(others))
        return batch

    async def _answer(self, batch: list[_Waiting[Key, Item, Answer]]) -> None:
        loop = asyncio.get_running_loop()
        items = [waiting.item for waiting in batch]
        try:
            answers = await loop.run_in_executor(self._threads, self._run, batch[0].key, items)
        except asyncio.CancelledError:
            _fail(batch, Unavailable("the service is stopping"))
            raise
        except Exception as error:  # noqa: BLE001 - the batch's callers hear it, the lane lives on
            _fail(batch, error)
            return
        for waiting, answer in zip(batch, answers, strict=True):
            if not waiting.future.done():
                waiting.future.set_result(answer)

    def _run(self, key: Key, items: Sequence[Item]) -> Sequence[Answer]:
        try:
            answers = self._infer(key, items)
        except StopIteration as error:
            # A future cannot carry it: the callers would wait for ever.
            raise RuntimeError("the inference ran out of something to iterate over") from error
        if len(answers) != len(items):
            raise RuntimeError(f"{len(items)} items went in, {len(answers)} answers came out")
        return answers


def _fail(batch: list[_Waiting[Key, Item, Answer]], error: BaseException) -> None:
    for waiting in batch:
        if not waiting.future.done():
            waiting.future.set_exception(error)
