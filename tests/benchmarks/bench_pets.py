"""A real street camera through the whole system -> frames a second, and people found against truth.

Run by `make bench`; skips where the footage of CITYBRAIN_DATA is absent.
"""

from __future__ import annotations

import asyncio
import csv
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.embedded.scorecard import Rectangle, SeenPerson, TruePerson, judge_trajectories
from services.gateway.settings import GatewaySettings
from services.ingest.feeding import Pace, feed
from services.ingest.pusher import Pusher, Tally
from services.ingest.sources import open_source
from services.reid.settings import ReidSettings

FPS = 10.0
CLIP_LENGTH = GatewaySettings().clip_length
LEARNED_FROM = 400
"""Frame from which the detector's background has been learned (ours)."""

GIVE_UP_S = 300.0
SCOPES = ["frames:write", "cameras:read", "cameras:write"]


@dataclass
class Run:
    """seconds: by group, from the first push until it owed less than a clip. The last frames, too
    few for a window, are published when the camera has been silent for long enough."""

    camera_id: str
    start: datetime
    tally: Tally
    seconds: dict[str, float]
    account: dict

    def frame_of(self, moment: str) -> int:
        """The number that the ground truth gives to a frame: from 1."""
        return 1 + round((datetime.fromisoformat(moment) - self.start).total_seconds() * FPS)


async def push(api, video: Path, analysis_fps: float) -> Run:
    """Pushes the video as fast as it is taken, with a key that can do no more than that."""
    camera_id = f"pets-{analysis_fps:.0f}"
    asked = {"name": camera_id, "scopes": SCOPES, "cameras": [camera_id]}
    key = (await api.post("/v1/api-keys", json=asked)).raise_for_status().json()["secret"]
    source = open_source(str(video), FPS)
    start = datetime.now(UTC) - timedelta(seconds=source.duration_s)
    pusher = Pusher(str(api.base_url), key, camera_id)
    try:
        await pusher.register(video.name, analysis_fps, None)
        began = time.monotonic()
        feeding = asyncio.create_task(feed(source, pusher, Pace(realtime=False, start=start)))
        seconds, account = await until_scored(api, camera_id, feeding, began)
        await feeding
    finally:
        await pusher.close()
    return Run(camera_id, start, pusher.tally, seconds, account)


async def until_scored(api, camera_id, feeding, began) -> tuple[dict[str, float], dict]:
    """`seconds` of a run, and the account of its frames once nothing is owed."""
    seconds: dict[str, float] = {}
    async with asyncio.timeout(GIVE_UP_S):
        while True:
            pushed = feeding.done()
            status = (await api.get(f"/v1/cameras/{camera_id}/status")).raise_for_status().json()
            owed = {g: of["in_flight"] for g, of in status["account"]["groups"].items()}
            if pushed:
                for group, frames in owed.items():
                    if frames < CLIP_LENGTH:
                        seconds.setdefault(group, time.monotonic() - began)
                if not any(owed.values()):
                    return seconds, status["account"]
            await asyncio.sleep(0.2)


async def looks_of(api, run: Run) -> list[int]:
    """The frames at which re-ID looked for people: every so manieth of those that were analysed."""
    params = {
        "start_time": (run.start - timedelta(seconds=1)).isoformat(),
        "limit": 20_000,
    }
    url = f"/v1/cameras/{run.camera_id}/timeline"
    curve = (await api.get(url, params=params)).raise_for_status().json()
    analysed = [run.frame_of(point["time"]) for point in curve["points"]]
    return analysed[:: ReidSettings().detect_every]


async def seen_in(api, run: Run) -> dict[int, list[SeenPerson]]:
    """Everybody whom the API tells of, by frame."""
    seen = defaultdict(list)
    params = {"camera_ids": run.camera_id, "limit": 1000}
    while True:
        page = (await api.get("/v1/sightings", params=params)).raise_for_status().json()
        for sighting in page["items"]:
            for box in sighting["boxes"]:
                rectangle = Rectangle(*(box[side] for side in Rectangle._fields))
                person = SeenPerson(sighting["person_id"], rectangle)
                seen[run.frame_of(box["captured_at"])].append(person)
        if page["next_cursor"] is None:
            return seen
        params["cursor"] = page["next_cursor"]


def truth_in(path: Path) -> dict[int, list[TruePerson]]:
    """frame, person, x, y, width, height: MOT's columns. All are told, hidden ones too."""
    truth = defaultdict(list)
    with path.open() as file:
        for frame, person, *box in csv.reader(file):
            rectangle = Rectangle(*map(float, box[:4]))
            truth[int(frame)].append(TruePerson(int(person), rectangle, 1.0))
    return truth


def tell(run: Run, looks: list[int], truth, seen) -> None:
    tally, account = run.tally, run.account
    print(
        f"\n{run.camera_id}: {tally.done} frames pushed, {tally.accepted} of them analysed,"
        f" {tally.thinned} thinned, {tally.waits} waits"
    )
    for group, seconds in run.seconds.items():
        print(
            f"  {group}: {tally.done / seconds:.1f} frames/s pushed, {tally.accepted / seconds:.1f}"
            f" frames/s analysed, in {seconds:.1f} s; {account['groups'][group]}"
        )
    for name, first in (("whole video", 1), (f"from frame {LEARNED_FROM}", LEARNED_FROM)):
        chosen = [(run.camera_id, frame) for frame in looks if frame >= first]
        figures = judge_trajectories(
            chosen,
            {look: truth[look[1]] for look in chosen},
            {look: seen[look[1]] for look in chosen},
        )
        print(
            f"  {name}: {figures.looks} looks, {figures.people} people: recall"
            f" {figures.recall:.3f}, precision {figures.precision:.3f}, IDF1 {figures.idf1:.3f}"
        )


@pytest.mark.data
@pytest.mark.parametrize("analysis_fps", [5.0, FPS])
async def test_a_real_street_is_watched_end_to_end(analysis_fps, api, data):
    folder = data("PETS09_S2L1")
    run = await push(api, folder / "vtest_480x360.mp4", analysis_fps)
    looks = await looks_of(api, run)
    tell(run, looks, truth_in(folder / "gt" / "gt.txt"), await seen_in(api, run))
    assert run.tally.done == 795
    assert run.tally.accepted == sum(run.account["groups"]["anomaly"].values())
