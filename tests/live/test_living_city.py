"""The whole composition, really built and started: real frames through its published port, on
PostgreSQL and Redis in containers; containers killed in mid-run; services scaled."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time

import pytest

from tests.conftest import footage
from tests.live.conftest import ROOT

pytestmark = pytest.mark.docker

OUTCOMES_S = 300


def start_pushing(living, key: str, camera: str) -> subprocess.Popen:
    """A camera worker on this machine: all of PETS 2009 S2.L1, as an archive."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "services.ingest", "--json"),
            *("--camera", camera, "--gateway", living.url, "--api-key", key),
            *("--source", str(footage("PETS09_S2L1", "vtest_480x360.mp4"))),
            *("--analysis-fps", "10", "--batch", "8"),
            *("--fast", "--mode", "archive"),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def tally_of(worker: subprocess.Popen) -> dict:
    told, _ = worker.communicate(timeout=900)
    assert worker.returncode == 0, told
    return json.loads(told.splitlines()[-1])


def account_of(api, camera: str) -> dict:
    return api.get(f"/v1/cameras/{camera}/status").raise_for_status().json()["account"]


def settled_account_of(api, camera: str) -> dict:
    """The account once nothing is in flight any more."""
    deadline = time.monotonic() + OUTCOMES_S
    while True:
        account = account_of(api, camera)
        if not any(group["in_flight"] for group in account["groups"].values()):
            return account
        assert time.monotonic() < deadline, json.dumps(account["groups"])
        time.sleep(1)


def assert_adds_up(account: dict, tally: dict) -> None:
    """Every frame that was taken has its outcome. Every outcome is a result, but re-ID, which may
    lag, may drop its oldest clips."""
    assert account["accepted"] == tally["accepted"] + tally["thinned"]
    assert account["thinned"] == tally["thinned"]
    for group, outcomes in account["groups"].items():
        assert sum(outcomes.values()) == account["accepted"] - account["thinned"], group
        assert not outcomes["expired"] + outcomes["dead"], (group, outcomes)
    assert not account["groups"]["anomaly"]["shed"]


def handled(living, service: str) -> list[float]:
    """Clips that each replica of a service has brought to an end."""
    return [
        sum(map(float, re.findall(r"^citybrain_handled_total{.*?clips.*?} (\S+)$", text, re.M)))
        for text in (living.figures(container) for container in living.containers(service))
    ]


def test_real_frames_are_scored_their_people_sighted_and_found_again(living, admin_key, api):
    tally = tally_of(start_pushing(living, admin_key, "first"))
    account = settled_account_of(api, "first")

    assert_adds_up(account, tally)
    assert account["groups"]["anomaly"]["done"] > 0
    points = api.get("/v1/cameras/first/timeline").raise_for_status().json()["points"]
    assert len(points) == account["groups"]["anomaly"]["done"]
    sightings = api.get("/v1/sightings", params={"limit": 1000}).raise_for_status().json()["items"]
    seen = [sighting for sighting in sightings if sighting["crop"]]
    assert seen
    crop = api.get(seen[0]["crop"]).raise_for_status().content
    found = api.post(
        "/v1/persons/search",
        files={"image": ("crop.jpg", crop, "image/jpeg")},
        data={"purpose": "live test"},
    )
    alike = {person["person_id"]: person for person in found.raise_for_status().json()["persons"]}
    # A crop is one of several looks that a person is known by.
    assert alike[seen[0]["person_id"]]["similarity"] > 0.9


def test_nothing_that_was_accepted_is_lost_when_containers_die_in_mid_run(living, admin_key, api):
    workers = {
        camera: start_pushing(living, admin_key, camera) for camera in ("north", "south", "west")
    }
    for service in ("anomaly", "reid", "gateway", "synthetic"):
        time.sleep(3)
        living.crash(service)
    restarts = living.restarts()  # a start by hand sets them back to none
    for service in ("anomaly", "redis", "reid", "frames", "gateway", "postgres", "edge"):
        time.sleep(3)
        living.kill(service)
        time.sleep(2)
        living.start(service)
    tallies = {camera: tally_of(worker) for camera, worker in workers.items()}
    living.await_healthy()

    for camera, tally in tallies.items():
        assert_adds_up(settled_account_of(api, camera), tally)
    assert min(restarts[service] for service in ("anomaly", "reid", "gateway")) >= 1


def test_replicas_of_every_service_share_the_work_behind_one_port(living, admin_key, api):
    living.run(
        *("up", "-d", "--no-build", "--scale", "gateway=2"),
        *("--scale", "anomaly=3", "--scale", "reid=2"),
    )
    living.await_healthy()
    assert [len(living.containers(s)) for s in ("gateway", "anomaly", "reid")] == [2, 3, 2]
    before = {service: handled(living, service) for service in ("anomaly", "reid")}

    cameras = [f"lane-{n}" for n in range(4)]
    workers = {camera: start_pushing(living, admin_key, camera) for camera in cameras}
    tallies = {camera: tally_of(worker) for camera, worker in workers.items()}

    for camera, tally in tallies.items():
        assert_adds_up(settled_account_of(api, camera), tally)
    for service, counts in before.items():
        worked = [b - a for a, b in zip(counts, handled(living, service), strict=True)]
        assert min(worked) > 0, (service, worked)
    gateways = [living.figures(container) for container in living.containers("gateway")]
    assert all('citybrain_frames_total{end="accepted"}' in figures for figures in gateways)
