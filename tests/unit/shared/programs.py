"""What the tests run in processes of its own, to be killed, paused, or run side by side."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field

from shared.blobs import FolderBlobs
from shared.bus import Bus, Delivery, Settlement
from shared.consumer import Consumer, DeliveryPolicy
from shared.database import Database
from shared.errors import Unavailable
from shared.health import Vital
from shared.job_process import JobProcess
from shared.jobs import JobContext, JobKind
from shared.leases import Leadership
from shared.messages import JobWaiting
from shared.outbox import Relay
from shared.topics import EVENTS, SCORES, SIGHTINGS, Group
from tests.unit.shared.floor import Counter, Job, LeaseRow, Origin, Outbox, log_keeper


def consume(bus_url: str) -> None:
    """Settles JobWaiting on scores.v1 as SIGHTINGS, until it is killed."""

    async def handle(message: JobWaiting, _: Delivery) -> Settlement:
        await asyncio.sleep(0.01)
        return Settlement(outputs=((SIGHTINGS, message),))

    async def bury(message: JobWaiting, _: Delivery, fault: str) -> Settlement:
        raise AssertionError(f"{message} was buried: {fault}")

    async def main() -> None:
        policy = DeliveryPolicy(claim_idle_s=1.0, renew_every_s=0.2, claim_every_s=0.2)
        await Consumer(
            *(Bus(bus_url), SCORES, Group.COMPOSER, JobWaiting, handle, bury, Vital("a")),
            slots=3,
            policy=policy,
        ).run()

    asyncio.run(main())


def increment(database_url: str, times: int) -> None:
    """Increments one counter so often, by reading it and writing it back."""

    async def main() -> None:
        database = Database(database_url)
        for _ in range(times):
            async with database.writing() as session:
                counter = await session.get_one(Counter, "frames", with_for_update=True)
                counter.value += 1
        await database.close()

    asyncio.run(main())


def migrate(database_url: str, migrations: Path) -> None:
    async def main() -> None:
        database = Database(database_url)
        await database.migrate(migrations)
        await database.close()

    asyncio.run(main())


def keep_log(database_url: str, writer: str, ttl_s: float) -> None:
    """Writes a line into the log every few milliseconds while it holds the lease."""

    async def main() -> None:
        database = Database(database_url)
        await Leadership(database, LeaseRow, "log", Vital("log"), ttl_s).run(
            log_keeper(database, writer)
        )

    asyncio.run(main())


def relay(database_url: str, bus_url: str) -> None:
    """Publishes the outbox to events.v1, until it is killed."""

    async def main() -> None:
        database, vital = Database(database_url), Vital("relay")
        relay = Relay(database, Bus(bus_url), EVENTS, outbox=Outbox, origin=Origin, vital=vital)
        await Leadership(database, LeaseRow, "relay", vital, 1.0).run(relay.run)

    asyncio.run(main())


class CountParams(BaseModel):
    """How far to count, and how long to rest between two numbers."""

    to: Annotated[int, Field(ge=0)]
    pause_s: float = 0.0


def count(params: CountParams, context: JobContext) -> dict[str, Any]:
    """Counts on from what a former process has left; the log tells who said each number."""
    log = context.folder / "log"
    said = len(log.read_text().splitlines()) if log.exists() else 0
    for n in range(said, params.to):
        context.checkpoint()
        with log.open("a") as file:
            file.write(f"{n} {os.getpid()}\n")
        context.report(n + 1, params.to, f"said {n}")
        time.sleep(params.pause_s)
    return {"count": params.to}


def ignore_everything(params: CountParams, context: JobContext) -> dict[str, Any]:
    (context.folder / "log").touch()
    time.sleep(600)
    return {}


def fail(params: CountParams, context: JobContext) -> dict[str, Any]:
    raise ValueError(f"cannot count to {params.to}")


def run_out(params: CountParams, context: JobContext) -> dict[str, Any]:
    return next(iter(()))


def measure_nothing(params: CountParams, context: JobContext) -> dict[str, Any]:
    return {"loss": float("nan")}


KINDS = {
    run.__name__: JobKind(CountParams, run, "for tests")
    for run in (count, ignore_everything, fail, run_out, measure_nothing)
}


def do_job(database_url: str, folder: str, job_id: str, epoch: str) -> None:
    """Does one job, as a service's `work` command does."""

    async def main() -> None:
        database = Database(database_url, patience_s=0.5)
        await JobProcess(database, Job, KINDS, Path(folder)).run(job_id, int(epoch))
        await database.close()

    asyncio.run(main())


def overwrite(folder: str) -> None:
    """Stores two large blobs under one key in turns, until it is killed."""

    async def main() -> None:
        blobs = FolderBlobs(Path(folder))
        while True:
            for letter in (b"a", b"b"):
                await blobs.put("evidence/large", letter * 500_000)

    asyncio.run(main())


def fill(folder: str) -> None:
    """Stores what does not fit: no file of this process may be larger than a kilobyte."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))

    async def main() -> None:
        blobs = FolderBlobs(Path(folder))
        try:
            await blobs.put("evidence/large", bytes(2_000))
        except Unavailable:
            await blobs.put("evidence/small", b"it was full")

    asyncio.run(main())
