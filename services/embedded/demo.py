"""The simulated city through the whole system -> a table of what it found against what was true."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx

from services.embedded.scorecard import (
    AlertFigures,
    Look,
    RaisedAlert,
    Rectangle,
    SeenPerson,
    TrajectoryFigures,
    TruePerson,
    judge_alerts,
    judge_trajectories,
    looked_at,
)
from services.ingest.pusher import Push, Pusher
from shared.images import encode_jpeg

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from services.embedded.supervision import EmbeddedCity
    from services.synthetic.city.city import City, CityCamera

JPEG_QUALITY = 90
ANALYSIS_FPS = 5.0
DETECT_EVERY = 4
"""People are looked for in every fourth analysed frame: the re-ID service's setting."""

DRAIN_S = 25.0
FEED_SCOPES = ["frames:write", "cameras:write", "cameras:read"]


@dataclass(frozen=True)
class Scorecard:
    """Everything that the demo's table shows. account: the gateway's own, summed over cameras."""

    seconds: float
    alerts: AlertFigures
    trajectories: TrajectoryFigures
    account: dict[str, Any]
    pushed: int

    @property
    def is_good(self) -> bool:
        """What `DEMO_SECONDS=60 make demo` promises by its exit code."""
        return (
            self.alerts.precision >= 0.5
            and self.alerts.true >= 1
            and self.trajectories.idf1 >= 0.6
            and self.trajectories.crossings >= 1
        )


@dataclass
class Feed:
    """One camera of the city on its way to the gateway.

    accepted: frames that were taken into its windows, by index, in the order of capture.
    """

    camera: CityCamera
    pusher: Pusher
    accepted: list[int] = field(default_factory=list)


class Demo:
    """Feeds a simulated city to an embedded one, as a stranger's camera workers would."""

    def __init__(self, embedded: EmbeddedCity, city: City) -> None:
        self._city = city
        self._api = httpx.AsyncClient(
            base_url=embedded.layout.url(), headers={"X-API-Key": embedded.admin_key}, timeout=30
        )
        self._url = embedded.layout.url()
        self._feeds: list[Feed] = []
        self._start = datetime.now(UTC)

    async def close(self) -> None:
        for feed in self._feeds:
            await feed.pusher.close()
        await self._api.aclose()

    async def page_address(self) -> str:
        """The page's address with a ticket that opens it once."""
        response = await self._api.post("/v1/tickets")
        response.raise_for_status()
        return f"{self._url}/?ticket={response.json()['ticket']}"

    async def register(self) -> None:
        """Makes a key for the camera workers, and registers the cameras."""
        asked = {"name": "demo cameras", "scopes": FEED_SCOPES}
        response = await self._api.post("/v1/api-keys", json=asked)
        response.raise_for_status()
        for camera in self._city.cameras:
            body = {
                "id": camera.id,
                "name": f"{camera.name} {camera.name_zh}",
                "site": camera.name,
                "analysis_fps": ANALYSIS_FPS,
                "unwatched": [{"points": camera.road}] if camera.road else [],
            }
            (await self._api.post("/v1/cameras", json=body)).raise_for_status()
            pusher = Pusher(self._url, response.json()["secret"], camera.id)
            self._feeds.append(Feed(camera, pusher))

    async def feed(
        self, progress: Callable[[float], None] = lambda city_s: None, *, realtime: bool = True
    ) -> None:
        """Pushes every camera's frames, at their pace or as fast as the gateway takes them.

        progress: is told the city's time.
        """
        self._start = datetime.now(UTC)
        if not realtime:
            self._start -= timedelta(seconds=self._city.time_s(self._city.frames))
        began = time.monotonic()
        for index in range(self._city.frames):
            city_s = self._city.time_s(index)
            if realtime:
                await asyncio.sleep(max(0.0, city_s - (time.monotonic() - began)))
            await asyncio.gather(*(self._push(feed, index) for feed in self._feeds))
            progress(city_s)

    async def _push(self, feed: Feed, index: int) -> None:
        body = await asyncio.to_thread(self._picture, feed.camera.id, index)
        before = feed.pusher.tally.accepted
        captured_at = self._start + timedelta(seconds=self._city.time_s(index))
        await feed.pusher.push([Push(body, captured_at)])
        if feed.pusher.tally.accepted > before:
            feed.accepted.append(index)

    def _picture(self, camera_id: str, index: int) -> bytes:
        return encode_jpeg(self._city.frame(camera_id, index), JPEG_QUALITY)

    async def drain(self) -> None:
        """Waits until every accepted frame has its outcomes, or for long enough."""
        deadline = time.monotonic() + DRAIN_S
        while time.monotonic() < deadline:
            account = await self._get("/v1/system/accounts")
            if all(group["in_flight"] == 0 for group in account["groups"].values()):
                return
            await asyncio.sleep(0.5)

    async def counts(self) -> tuple[int, int]:
        """Alerts and sightings so far, for the progress line."""
        alerts = await self._get("/v1/alerts", kind="anomaly", limit=1000)
        sightings = await self._get("/v1/sightings", limit=1000)
        return len(alerts["items"]), len({item["person_id"] for item in sightings["items"]})

    async def scorecard(self) -> Scorecard:
        """What was found, judged by the city's own truth."""
        alerts = [self._alert(item) for item in await self._pages("/v1/alerts", kind="anomaly")]
        seen = self._seen(await self._pages("/v1/sightings"))
        looks, truth = self._truth(seen)
        seconds = self._city.time_s(self._city.frames - 1)
        return Scorecard(
            seconds=seconds,
            alerts=judge_alerts(alerts, self._city.anomalies, until_s=seconds),
            trajectories=await asyncio.to_thread(judge_trajectories, looks, truth, seen),
            account=await self._get("/v1/system/accounts"),
            pushed=sum(feed.pusher.tally.done for feed in self._feeds),
        )

    def _alert(self, item: dict[str, Any]) -> RaisedAlert:
        end = item["end_time"]
        return RaisedAlert(
            camera_id=item["camera_id"],
            start_s=self._city_time(item["start_time"]),
            end_s=self._city_time(end) if end else self._city.time_s(self._city.frames),
            opened_s=self._city_time(item["opened_at"]),
        )

    def _truth(self, seen: Collection[Look]) -> tuple[list[Look], dict[Look, list[TruePerson]]]:
        """The frames at which the re-ID service looked for people, and who is there."""
        looks: list[Look] = []
        truth: dict[Look, list[TruePerson]] = {}
        for feed in self._feeds:
            index_at = {round(self._city.time_s(index), 3): index for index in feed.accepted}
            times = {time_s for camera_id, time_s in seen if camera_id == feed.camera.id}
            for time_s in looked_at(list(index_at), times, every=DETECT_EVERY):
                index, look = index_at[time_s], (feed.camera.id, time_s)
                looks.append(look)
                truth[look] = [
                    TruePerson(
                        person.person_id,
                        Rectangle(*(getattr(person.box, side) for side in Rectangle._fields)),
                        person.visible_fraction,
                    )
                    for person in self._city.truth(feed.camera.id, index).people
                ]
        return looks, truth

    def _seen(self, sightings: Sequence[dict[str, Any]]) -> dict[Look, list[SeenPerson]]:
        seen: dict[Look, list[SeenPerson]] = defaultdict(list)
        for sighting in sightings:
            for box in sighting["boxes"]:
                look = (sighting["camera_id"], round(self._city_time(box["captured_at"]), 3))
                rectangle = Rectangle(*(box[side] for side in Rectangle._fields))
                seen[look].append(SeenPerson(sighting["person_id"], rectangle))
        return seen

    def _city_time(self, moment: str) -> float:
        return (datetime.fromisoformat(moment) - self._start).total_seconds()

    async def _get(self, path: str, **query: Any) -> dict[str, Any]:
        response = await self._api.get(path, params=query)
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer

    async def _pages(self, path: str, **query: Any) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            page = await self._get(path, limit=1000, **query, **cursor)
            items += page["items"]
            if page["next_cursor"] is None:
                return items
            cursor = {"cursor": page["next_cursor"]}
