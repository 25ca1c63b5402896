"""How a camera is: presence, clock, window, and the account of its frames."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel

from services.gateway.store import accounts
from services.gateway.store.tables import WatchRow
from shared.clock import from_us, now_us

if TYPE_CHECKING:
    from services.gateway.core.camera import Camera
    from services.gateway.store.accounts import Account
    from shared.bus import Bus
    from shared.database import Database
    from shared.topics import CameraKeys


class FrameAccount(BaseModel):
    """accepted = thinned + the outcomes of a group + its in_flight, for every group."""

    accepted: int
    thinned: int
    clips: int
    repeated: int
    overloaded: int
    refused: dict[str, int]
    groups: dict[str, dict[str, int]]

    @classmethod
    def of(cls, account: Account) -> FrameAccount:
        return cls(
            accepted=account.accepted,
            thinned=account.thinned,
            clips=account.clips,
            repeated=account.repeated,
            overloaded=account.overloaded,
            refused=account.refused,
            groups=account.groups,
        )


class CameraStatus(BaseModel):
    """The state of a camera.

    learning: its own error quantiles do not stand yet. skew_s: how far its clock is behind the
    server's (negative: ahead), arrival included. waiting_frames: in its window, for the next clip.
    """

    camera_id: str
    presence: Literal["new", "online", "offline"]
    presence_since: datetime | None
    learning: bool
    last_arrival_at: datetime | None
    last_capture_time: datetime | None
    silent_s: float | None
    skew_s: float | None
    epoch: int | None
    next_seq: int | None
    waiting_frames: int
    account: FrameAccount


async def status_of(database: Database, bus: Bus, keys: CameraKeys, camera: Camera) -> CameraStatus:
    """Reads the camera's window in Redis and its outcomes in the database."""
    window, counters, ring = await _redis_side(bus, keys)
    async with database.reading() as session:
        watch = await session.get(WatchRow, camera.id)
        account = await accounts.of_camera(session, camera.id, counters, window.get("born"))
        presence: Any = watch.presence if watch else "new"
        since = watch.presence_us if watch else None
        learning = watch.learning if watch else True
    arrived_us = counters.get("arrived_us")
    published_slot = window.get("published_slot")
    return CameraStatus(
        camera_id=camera.id,
        presence=presence,
        presence_since=from_us(since) if since else None,
        learning=learning,
        last_arrival_at=from_us(arrived_us) if arrived_us else None,
        last_capture_time=from_us(window["watermark_us"]) if "watermark_us" in window else None,
        silent_s=(now_us() - arrived_us) / 1e6 if arrived_us else None,
        skew_s=window["skew_us"] / 1e6 if "skew_us" in window else None,
        epoch=window.get("epoch"),
        next_seq=window.get("seq"),
        waiting_frames=sum(1 for slot in ring if published_slot is None or slot > published_slot),
        account=FrameAccount.of(account),
    )


async def account_of(database: Database, bus: Bus, keys: CameraKeys) -> Account:
    """The account of one camera."""
    window, counters, _ = await _redis_side(bus, keys)
    async with database.reading() as session:
        return await accounts.of_camera(session, keys.camera_id, counters, window.get("born"))


async def _redis_side(
    bus: Bus, keys: CameraKeys
) -> tuple[dict[str, int], dict[str, int], list[float]]:
    async with bus.redis.pipeline() as pipe:
        pipe.hgetall(keys.window)
        pipe.hgetall(keys.account)
        pipe.zrange(keys.ring, 0, -1, withscores=True)
        window, counters, ring = await pipe.execute()
    return _numbers(window), _numbers(counters), [slot for _, slot in ring]


def _numbers(raw: dict[bytes, bytes]) -> dict[str, int]:
    return {name.decode(): int(value) for name, value in raw.items()}
