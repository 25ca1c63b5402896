"""Signs of tampering on the bus -> one alert of the right kind, opened and closed in time."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from services.gateway.composer.tampering import alarms_of
from services.gateway.core.alarm import Alarm, Phase
from services.gateway.core.kinds import SEVERITIES, TAMPERING
from services.gateway.core.tampering import is_part_of, suspicion
from services.gateway.store.tables import BaselineRow, WatchRow
from shared.clock import SECOND_US, to_us
from shared.messages import TamperingSigns
from tests.unit.gateway.test_composer import LOUD, QUIET, Camera, alerts, settled

USUAL = TamperingSigns(moved=0.1)


def signs(sign: str, score: float = 1.4) -> TamperingSigns:
    return TamperingSigns(**{sign: score})


class Watched(Camera):
    """A camera whose clips carry what their view shows. A clip is 3.2 s of the camera's time."""

    async def show(self, *views: TamperingSigns | None, error: float = QUIET) -> None:
        for view in views:
            await self.clip()
            await self.answer(-1, error, tampering=view)

    async def frames_learnt(self) -> int:
        async with self.gateway.city.database.reading() as session:
            return sum(await session.scalars(select(BaselineRow.frames)))


@pytest.fixture
async def gate(gateway):
    await gateway.add_camera(site="north")
    return Watched(gateway)


@pytest.mark.parametrize("sign", TAMPERING)
async def test_a_sign_that_lasts_opens_an_alert_of_its_kind_with_pictures(gateway, gate, sign):
    await gate.show(USUAL, *[signs(sign)] * 5)
    (alert,) = await alerts(
        gateway, lambda items: items and items[0]["evidence"]["state"] == "saved"
    )
    assert (alert["kind"], alert["state"]) == (f"camera_{sign}", "open")
    assert alert["severity"] == SEVERITIES[TAMPERING[sign]]
    assert alert["peak_score"] == 1.4
    assert alert["evidence"]["heat_map"] is None, "no score is meant, the view is"
    usual = alert["evidence"]["nearest_normal"]
    assert usual["captured_at"] < alert["start_time"]
    assert (await gateway.api.get(usual["image"])).content.startswith(b"\xff\xd8")
    for frame in alert["evidence"]["frames"]:
        assert (await gateway.api.get(frame["image"])).content.startswith(b"\xff\xd8")
    listed = (await gateway.api.get("/v1/alerts", params={"kind": f"camera_{sign}"})).json()
    assert [it["id"] for it in listed["items"]] == [alert["id"]]


async def test_a_clip_to_clip_story_from_a_cover_to_its_removal(gateway, gate):
    await gate.show(USUAL, *[signs("covered")] * 6, USUAL, USUAL, USUAL)
    (alert,) = await alerts(gateway, lambda items: items and items[0]["state"] == "closed")
    first, last = gate.clips[1][1], gate.clips[6][1]
    assert alert["kind"] == "camera_covered"
    assert microseconds(alert["start_time"]) == first.owned[0].captured_us
    assert microseconds(alert["end_time"]) == last.owned[-1].captured_us
    incident = (await gateway.api.get(f"/v1/incidents/{alert['incident_id']}")).json()
    assert (incident["place"], incident["state"]) == ("north", "closed")
    events = []
    async with asyncio.timeout(10):
        async for event in gateway.city.feed.listen("0-0"):
            events += [] if event is None else [event.raised.type]
            if "incident.closed" in events:
                break
    told = [it for it in events if it.startswith(("alert", "incident")) and "updated" not in it]
    assert told == ["incident.opened", "alert.opened", "alert.closed", "incident.closed"]


def microseconds(moment: str) -> int:
    return to_us(datetime.fromisoformat(moment))


async def test_a_lorry_before_the_lens_raises_nothing(gateway, gate):
    await gate.show(USUAL, signs("covered"), signs("covered"), signs("moved"), USUAL, USUAL)
    await settled(gateway)
    assert (await gateway.api.get("/v1/alerts")).json()["items"] == []


async def test_between_its_thresholds_an_alert_stays_open_and_none_is_opened(gateway, gate):
    nearly = signs("defocused", 0.9)
    await gate.show(USUAL, *[nearly] * 6)
    await settled(gateway)
    assert (await gateway.api.get("/v1/alerts")).json()["items"] == []
    await gate.show(*[signs("defocused")] * 5, *[nearly] * 4)
    await settled(gateway)
    (alert,) = (await gateway.api.get("/v1/alerts")).json()["items"]
    assert alert["state"] == "open"


async def test_the_anomaly_that_a_cover_raises_is_told_as_the_cover_alone(gateway, gate):
    await gate.show(USUAL)
    await gate.show(signs("covered"), error=LOUD)
    (anomaly,) = await alerts(
        gateway, lambda items: items and items[0]["evidence"]["state"] == "saved"
    )
    assert anomaly["kind"] == "anomaly", "nobody can know yet"
    await gate.show(*[signs("covered")] * 5, error=LOUD)
    (alert,) = await alerts(
        gateway,
        lambda items: (
            items[0]["kind"] == "camera_covered" and items[0]["evidence"]["state"] == "saved"
        ),
    )
    assert alert["id"] == anomaly["id"]
    assert (alert["state"], alert["model"], alert["regions"]) == ("open", None, [])
    seen = [frame["image"] for frame in alert["evidence"]["frames"]]
    before = [frame["image"] for frame in anomaly["evidence"]["frames"]]
    assert seen[: len(before)] == before, "the hand before the lens"
    assert len(seen) > len(before), "and what it left"


async def test_an_anomaly_that_has_closed_meanwhile_is_the_cover_s_too(gateway, gate):
    await gate.show(USUAL)
    await gate.show(signs("covered"), error=LOUD)
    await gate.show(*[signs("covered")] * 5)
    (alert,) = await alerts(gateway, lambda items: items[0]["kind"] == "camera_covered")
    assert alert["state"] == "open"
    assert alert["end_time"] is None


async def test_an_older_anomaly_keeps_its_name_and_ends_where_the_tampering_began(gateway, gate):
    await gate.show(USUAL)
    await gate.show(*[USUAL] * 5, error=LOUD)
    await gate.show(*[signs("moved")] * 6, error=LOUD)
    found = await alerts(gateway, lambda items: len(items) == 2)
    by_kind = {alert["kind"]: alert for alert in found}
    assert by_kind["anomaly"]["state"] == "closed"
    assert by_kind["anomaly"]["end_time"] <= by_kind["camera_moved"]["start_time"]
    assert by_kind["anomaly"]["incident_id"] == by_kind["camera_moved"]["incident_id"]


async def test_a_camera_that_is_tampered_with_teaches_no_baseline(gateway, gate):
    await gate.show(USUAL, USUAL)
    await settled(gateway)
    learnt = await gate.frames_learnt()
    assert learnt == 32
    await gate.show(*[signs("defocused")] * 6, error=3 * QUIET)
    await settled(gateway)
    assert await gate.frames_learnt() == learnt
    await gate.show(*[USUAL] * 4)
    await settled(gateway)
    assert await gate.frames_learnt() > learnt


async def test_the_alert_of_a_camera_that_falls_silent_is_closed(start_gateway):
    async with start_gateway(offline_after_s=1.5) as gateway:
        await gateway.add_camera()
        gate = Watched(gateway)
        await gate.show(USUAL, *[signs("frozen")] * 5)
        (alert,) = await alerts(
            gateway, lambda items: items and items[0]["state"] == "closed", kind="camera_frozen"
        )
        assert alert["closed_at"] > alert["end_time"]


async def test_a_clip_that_says_nothing_of_its_view_changes_nothing(gateway, gate):
    await gate.show(USUAL, *[signs("covered")] * 5, None, None)
    await settled(gateway)
    (alert,) = (await gateway.api.get("/v1/alerts")).json()["items"]
    assert (alert["kind"], alert["state"]) == ("camera_covered", "open")


async def test_the_rule_is_a_setting(start_gateway):
    rule = {"min_duration_s": 2.0}
    async with start_gateway(tampering_alarm=rule) as gateway:
        assert gateway.settings.tampering_alarm.close_score == 0.8
        await gateway.add_camera()
        await Watched(gateway).show(USUAL, signs("moved"))
        (alert,) = await alerts(gateway, lambda items: items)
        assert alert["kind"] == "camera_moved"


def test_a_camera_of_before_has_quiet_alarms():
    assert set(alarms_of(WatchRow(camera_id="gate")).values()) == {Alarm()}


@given(st.lists(st.sampled_from(Phase), max_size=4))
def test_one_open_alarm_is_enough_to_suspect_a_camera(phases):
    graver = [Phase.QUIET, Phase.RISING, Phase.OPEN]
    expected = max(phases, key=graver.index, default=Phase.QUIET)
    assert suspicion(Alarm(phase=phase) for phase in phases) is expected


@pytest.mark.parametrize(("seconds_before", "part"), [(-5, True), (10, True), (11, False)])
def test_an_anomaly_of_shortly_before_is_part_of_the_tampering(seconds_before, part):
    rise_us = 1_000 * SECOND_US
    assert is_part_of(rise_us - seconds_before * SECOND_US, rise_us) is part
