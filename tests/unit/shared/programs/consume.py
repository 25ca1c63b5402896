"""BUS_URL -> a process that settles JobWaiting on scores.v1 as SIGHTINGS, until it is killed."""

from __future__ import annotations

import asyncio
import sys

from shared.bus import Bus, Delivery, Settlement
from shared.consumer import Consumer, DeliveryPolicy
from shared.health import Vital
from shared.messages import JobWaiting
from shared.topics import SCORES, SIGHTINGS, Group


async def handle(message: JobWaiting, _: Delivery) -> Settlement:
    await asyncio.sleep(0.01)
    return Settlement(outputs=((SIGHTINGS, message),))


async def bury(message: JobWaiting, _: Delivery, fault: str) -> Settlement:
    raise AssertionError(f"{message} was buried: {fault}")


async def main(url: str) -> None:
    bus = Bus(url)
    policy = DeliveryPolicy(claim_idle_s=1.0, renew_every_s=0.2, claim_every_s=0.2)
    await Consumer(
        bus, SCORES, Group.COMPOSER, JobWaiting, handle, bury, Vital("a"), slots=3, policy=policy
    ).run()


asyncio.run(main(sys.argv[1]))
