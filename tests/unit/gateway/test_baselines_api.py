"""Scores on the bus -> what a camera has learnt, calibrations and backtests, as REST shows them."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from services.gateway.core.alarm import Severity
from services.gateway.core.kinds import AlertKind
from services.gateway.store import alerts
from shared.clock import from_us, now_us
from shared.messages import ClipScored, FrameScore, Outcome, Prior, ScoringContext
from shared.topics import SCORES
from tests.unit.gateway.test_baseline import normal

SECOND = 1_000_000
PRIOR = Prior(q50=0.01, q95=0.015, q99=0.02, q999=0.03)
CONTEXT = ScoringContext(model="m", model_digest="d" * 64, provider="cpu", precision="fp32")
FRAMES = 500
DAY_US = 86_400 * SECOND
URL = "/v1/baselines/gate"


class Footage:
    """A camera whose clips of 500 frames, one a second, come scored."""

    def __init__(self, gateway, context: ScoringContext = CONTEXT) -> None:
        self.gateway, self.context = gateway, context
        self.start_us = self.captured_us = (now_us() // DAY_US - 1) * DAY_US
        self.seq = 0

    async def clips(self, count: int, scale: float = 1.0, event: float | None = None) -> None:
        """event: the error of frames 200 to 229 of each clip, which is an alert."""
        for _ in range(count):
            errors = normal(FRAMES, scale, seed=self.seq)
            if event:
                errors[200:230] = event
            times = self.captured_us + SECOND * np.arange(FRAMES)
            await self.gateway.city.bus.publish(SCORES, self._message(times.tolist(), errors))
            self.captured_us += FRAMES * SECOND
            self.seq += 1
        status = "/v1/system/backlog"
        await self.gateway.until(status, lambda b: b["streams"]["scores.v1"] == 0, timeout_s=30)

    def _message(self, times, errors) -> ClipScored:
        scores = [
            FrameScore(captured_us=at, error=error) for at, error in zip(times, errors, strict=True)
        ]
        return ClipScored(
            camera_id="gate",
            born=1,
            epoch=1,
            seq=self.seq,
            captured_us=tuple(times),
            ready_us=times[-1],
            clip_entry="1-1",
            outcome=Outcome.DONE,
            context=self.context,
            prior=PRIOR,
            scores=tuple(scores),
        )

    @property
    def span(self) -> dict[str, str]:
        return {
            "start_time": from_us(self.start_us).isoformat(),
            "end_time": from_us(self.captured_us).isoformat(),
        }


@pytest.fixture
async def gate(gateway):
    await gateway.add_camera()
    return Footage(gateway)


async def get(gateway, url=URL):
    response = await gateway.api.get(url)
    assert response.status_code == 200, response.text
    return response.json()


async def post(gateway, url, **body):
    response = await gateway.api.post(url, json=body)
    assert response.status_code == 200, response.text
    return response.json()


async def refused(gateway, url, **body):
    response = await gateway.api.post(url, json=body)
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["code"]


async def test_what_a_camera_has_learnt_is_shown_by_the_hour(gateway, gate):
    response = await gateway.api.get(URL)
    assert (response.status_code, response.json()["code"]) == (404, "no_baseline")
    await gate.clips(2)
    young = await get(gateway)
    assert (young["frames"], young["learning"]) == (1000, True)
    await gate.clips(30)
    grown = await get(gateway)
    assert (grown["frames"], grown["learning"]) == (15_500, False), "a clip that ends loud is left"
    assert [hour["hour"] for hour in grown["hours"]] == [0, 1, 2, 3, 4]
    assert sum(hour["frames"] for hour in grown["hours"]) == 15_500
    assert {hour["stands"] for hour in grown["hours"]} == {False}, "an hour has 3,600 of 9,000"
    assert grown["usual_error"] == pytest.approx(0.01, rel=0.05)
    assert (grown["model"], grown["model_digest"]) == ("m", "d" * 64)
    assert (grown["rule"]["open_score"], grown["open_score_from"]) == (0.5, "service")
    assert (grown["alert_budget_per_day"], grown["calibration"]) == (1.0, None)


async def test_hours_are_those_of_the_camera_s_own_day(gateway, gate):
    await gateway.api.patch("/v1/cameras/gate", json={"time_zone": "Asia/Shanghai"})
    await gate.clips(1)
    (first, *_) = (await get(gateway))["hours"]
    shown = {hour["hour"] for hour in (await get(gateway))["hours"]}
    local = {
        (from_us(at) + timedelta(hours=8)).hour
        for at in range(gate.start_us, gate.captured_us, 60 * SECOND)
    }
    assert shown == local
    assert first["frames"] > 0
    await gateway.api.patch("/v1/cameras/gate", json={"time_zone": "Europe/Berlin"})
    assert (await get(gateway))["hours"] == [], "what was learnt of another zone's hours is void"
    unknown = await gateway.api.patch("/v1/cameras/gate", json={"time_zone": "Mars/Olympus"})
    assert unknown.status_code == 422


async def test_a_calibration_learns_anew_and_keeps_its_budget(gateway, gate):
    await gate.clips(8, scale=3.0)
    past = gate.captured_us
    await gate.clips(30, event=0.045)
    span = {"start_time": from_us(past).isoformat(), "end_time": gate.span["end_time"]}
    before = await get(gateway)
    answer = await post(gateway, f"{URL}/calibrate", budget_per_day=40, **span)
    assert answer["before"]["frames"] == before["frames"]
    assert answer["after"]["frames"] == answer["calibration"]["frames"] == 15_000
    assert answer["after"]["usual_error"] == pytest.approx(0.01, rel=0.05)
    assert answer["calibration"]["method"] == "counted"
    assert answer["calibration"]["days"] == pytest.approx(15_000 / 86_400, rel=0.001)
    assert len(answer["alerts"]) <= 40 * answer["calibration"]["days"]
    assert answer["open_score_low"] <= answer["after"]["open_score"] <= answer["open_score_high"]
    after = await get(gateway)
    assert after["open_score_from"] == "calibration"
    assert after["rule"]["open_score"] == answer["after"]["open_score"] != 0.5
    assert after["calibration"]["id"] == answer["calibration"]["id"]
    assert after["frames"] == 15_000


async def test_the_composer_opens_alerts_at_the_calibrated_score(gateway, gate):
    await gate.clips(20)
    await post(gateway, f"{URL}/calibrate", budget_per_day=20, **gate.span)
    score = (await get(gateway))["rule"]["open_score"]
    levels = await get(gateway)
    error = levels["usual_error"] + (levels["rare_error"] - levels["usual_error"]) * score
    await gate.clips(1, event=0.8 * error)
    quiet = (await gateway.api.get("/v1/alerts")).json()["items"]
    await gate.clips(1, event=1.5 * error)
    loud = (await gateway.api.get("/v1/alerts")).json()["items"]
    assert len(loud) == len(quiet) + 1


async def test_confirmed_alerts_are_no_normal_footage(gateway, gate):
    await gate.clips(6)
    await gate.clips(1, event=0.2)
    await gate.clips(4)
    (alert,) = (await gateway.api.get("/v1/alerts")).json()["items"]
    with_it = await post(gateway, f"{URL}/calibrate", **gate.span)
    assert with_it["after"]["open_score"] > 2
    without = await post(gateway, f"{URL}/calibrate", exclude_alerts=[alert["id"]], **gate.span)
    assert without["after"]["open_score"] < 2
    assert with_it["calibration"]["frames"] - without["calibration"]["frames"] == 30
    (excluded,) = without["calibration"]["excluded"]
    assert excluded["start_time"] == alert["start_time"]
    same = {"start_time": excluded["start_time"], "end_time": excluded["end_time"]}
    again = await post(gateway, f"{URL}/calibrate", exclude=[same], **gate.span)
    assert again["calibration"]["frames"] == without["calibration"]["frames"]


async def test_a_rollback_returns_to_the_baseline_before_step_by_step(gateway, gate):
    await gate.clips(8)
    states = [await get(gateway)]
    for budget in (5, 50):
        await post(gateway, f"{URL}/calibrate", budget_per_day=budget, **gate.span)
        states.append(await get(gateway))
        await gate.clips(1)
    for state in (states[1], states[0]):
        change = await post(gateway, f"{URL}/rollback")
        back = await get(gateway)
        assert change["after"]["open_score"] == back["rule"]["open_score"]
        if state is states[0]:
            assert {**back, "updated_at": ""} == {**state, "updated_at": ""}
        else:
            assert back["rule"] == state["rule"], "with what was learnt until the next calibration"
            assert back["frames"] == state["frames"] + FRAMES
    assert await refused(gateway, f"{URL}/rollback") == (409, "nothing_to_roll_back")


async def test_the_history_says_who_when_and_from_what(gateway, gate):
    await gate.clips(6)
    headers = await gateway.key("cameras:write")
    for _ in range(2):
        await gateway.api.post(f"{URL}/calibrate", json=gate.span, headers=headers)
    await post(gateway, f"{URL}/rollback")
    page = await get(gateway, f"{URL}/calibrations?limit=1")
    (newest,) = page["items"]
    (first,) = (await get(gateway, f"{URL}/calibrations?limit=1&cursor={page['next_cursor']}"))[
        "items"
    ]
    assert newest["undone_by"] not in (None, newest["by"])
    assert (first["undone_at"], first["by"]) == (None, newest["by"])
    assert first["start_time"].startswith(gate.span["start_time"][:19])
    assert first["calibrated_at"] < newest["calibrated_at"] < newest["undone_at"]


async def test_of_many_calibrations_the_newest_can_be_undone(gateway, gate):
    await gate.clips(4)
    for _ in range(12):
        await post(gateway, f"{URL}/calibrate", **gate.span)
    for _ in range(10):
        await post(gateway, f"{URL}/rollback")
    assert await refused(gateway, f"{URL}/rollback") == (409, "nothing_to_roll_back")
    assert len((await get(gateway, f"{URL}/calibrations"))["items"]) == 12


async def test_a_calibration_says_why_it_cannot_be_done(gateway, gate):
    calibrate = f"{URL}/calibrate"
    assert await refused(gateway, calibrate) == (404, "no_baseline")
    await gate.clips(2)
    assert await refused(gateway, calibrate) == (409, "too_little_footage")
    long = {"start_time": "2026-01-01T00:00:00Z", "end_time": "2026-02-01T00:00:00Z"}
    assert await refused(gateway, calibrate, **long) == (422, "span_too_long")
    assert await refused(gateway, calibrate, budget_per_day=0) == (422, "malformed")
    assert await refused(gateway, calibrate, budget=1) == (422, "malformed")
    naive = {"start_time": "2026-01-01T00:00:00"}
    assert await refused(gateway, calibrate, **naive) == (422, "malformed")
    assert await refused(gateway, calibrate, exclude_alerts=["x"]) == (404, "unknown_alert")
    await gateway.api.patch("/v1/cameras/gate", json={"alarm_rule": {"open_score": 0.9}})
    assert await refused(gateway, calibrate) == (409, "open_score_fixed")


async def test_errors_of_another_model_are_left_out(gateway, gate):
    await gate.clips(6, scale=5.0)
    other = Footage(gateway, CONTEXT.model_copy(update={"model_digest": "e" * 64}))
    other.captured_us, other.seq = gate.captured_us, gate.seq
    await other.clips(6)
    answer = await post(gateway, f"{URL}/calibrate")
    assert answer["calibration"]["frames"] == 6 * FRAMES
    assert answer["after"]["usual_error"] == pytest.approx(0.01, rel=0.05)
    assert (await get(gateway))["model_digest"] == "e" * 64


async def test_a_camera_s_own_budget_and_rule_are_in_force(gateway, gate):
    own = {"alarm_rule": {"min_duration_s": 5.0}, "alert_budget_per_day": 7.0}
    changed = await gateway.api.patch("/v1/cameras/gate", json=own)
    assert changed.json()["alarm_rule"]["min_duration_s"] == 5.0
    await gate.clips(4)
    shown = await get(gateway)
    assert (shown["rule"]["min_duration_s"], shown["rule"]["open_score"]) == (5.0, 0.5)
    assert shown["alert_budget_per_day"] == 7.0
    answer = await post(gateway, f"{URL}/calibrate", **gate.span)
    assert answer["calibration"]["budget_per_day"] == 7.0
    upside_down = {"alarm_rule": {"open_score": 0.4, "close_score": 0.6}}
    refusal = await gateway.api.patch("/v1/cameras/gate", json=upside_down)
    assert (refusal.status_code, refusal.json()["code"]) == (422, "rule_contradiction")
    await gateway.api.patch("/v1/cameras/gate", json={"alarm_rule": {"open_score": 9.0}})
    assert (await get(gateway))["open_score_from"] == "camera"
    await gate.clips(1, event=0.1)
    assert (await gateway.api.get("/v1/alerts")).json()["items"] == []
    await gateway.api.patch("/v1/cameras/gate", json={"alarm_rule": None})
    await gate.clips(1, event=0.1)
    assert len((await gateway.api.get("/v1/alerts")).json()["items"]) == 1


BACKTEST = "/v1/cameras/gate/backtest"


async def test_a_backtest_of_the_rule_in_force_raises_what_was_raised(gateway, gate):
    await gate.clips(4)
    await gate.clips(3, event=0.06)
    real = (await gateway.api.get("/v1/alerts")).json()["items"]
    assert len(real) == 3
    answer = await post(gateway, BACKTEST, **gate.span)
    assert [alert["alert_ids"] for alert in answer["alerts"]] == [
        [alert["id"]] for alert in reversed(real)
    ]
    for tried, alert in zip(answer["alerts"], reversed(real), strict=True):
        for field in ("start_time", "end_time", "peak_time", "peak_score", "severity"):
            assert tried[field] == alert[field]
    assert answer["missed"] == []
    assert answer["alerts_per_day"] == pytest.approx(3 / (7 * FRAMES / 86_400), rel=0.001)


async def test_after_a_calibration_a_backtest_raises_what_that_has_told(gateway, gate):
    await gate.clips(8, scale=4.0)
    past = gate.captured_us
    await gate.clips(6, event=0.03)
    await gate.clips(2, event=0.06)
    span = {"start_time": from_us(past).isoformat(), "end_time": gate.span["end_time"]}
    as_stored = await post(gateway, BACKTEST, **span)
    assert (as_stored["alerts"], as_stored["rescaled"]) == ([], 0), "on the scale of a louder day"
    told = await post(gateway, f"{URL}/calibrate", budget_per_day=100, **span)
    assert len(told["alerts"]) == 2
    tried = await post(gateway, BACKTEST, **span)
    assert tried["rule"]["open_score"] == told["after"]["open_score"]
    assert (tried["frames"], tried["rescaled"]) == (8 * FRAMES, 8 * FRAMES)
    assert [{**alert, "alert_ids": None} for alert in tried["alerts"]] == [
        {**alert, "alert_ids": None} for alert in told["alerts"]
    ]
    await post(gateway, f"{URL}/rollback")
    back = await post(gateway, BACKTEST, **span)
    assert back["rescaled"] == 8 * FRAMES, "by the baseline that stands again"
    assert back["alerts"][0]["peak_score"] < 0.5 * tried["alerts"][0]["peak_score"]


async def test_a_backtest_takes_what_another_model_scored_as_it_was_stored(gateway, gate):
    await gate.clips(1, scale=5.0)
    other = Footage(gateway, CONTEXT.model_copy(update={"model_digest": "e" * 64}))
    other.captured_us, other.seq = gate.captured_us, gate.seq
    await other.clips(4)
    await post(gateway, f"{URL}/calibrate")
    answer = await post(gateway, BACKTEST)
    assert (answer["frames"], answer["rescaled"]) == (5 * FRAMES, 4 * FRAMES)


async def test_a_backtest_tells_which_alerts_a_rule_would_have_missed(gateway, gate):
    await gate.clips(4)
    await gate.clips(1, event=0.04)
    await gate.clips(1, event=0.12)
    loud, low = (await gateway.api.get("/v1/alerts")).json()["items"]
    high = (low["peak_score"] + loud["peak_score"]) / 2
    answer = await post(gateway, BACKTEST, alarm_rule={"open_score": high}, **gate.span)
    assert [alert["alert_ids"] for alert in answer["alerts"]] == [[loud["id"]]]
    assert [alert["id"] for alert in answer["missed"]] == [low["id"]]
    long = await post(gateway, BACKTEST, alarm_rule={"min_duration_s": 31}, **gate.span)
    assert (long["alerts"], len(long["missed"])) == ([], 2)


async def test_a_backtest_stores_and_raises_nothing(gateway, gate):
    await gate.clips(5)
    before = await get(gateway)
    low = {"open_score": 0.05, "close_score": 0.05, "min_duration_s": 0}
    answer = await post(gateway, BACKTEST, alarm_rule=low, **gate.span)
    assert len(answer["alerts"]) > 3
    assert await get(gateway) == before
    assert (await gateway.api.get("/v1/alerts")).json()["items"] == []
    assert (await get(gateway, "/v1/cameras/gate"))["alarm_rule"] is None


async def test_a_backtest_without_footage_is_empty(gateway, gate):
    answer = await post(gateway, BACKTEST)
    assert (answer["frames"], answer["alerts"], answer["alerts_per_day"]) == (0, [], None)
    wrong = {"alarm_rule": {"open_score": 0.1}, "start_time": "2026-01-01T00:00:00Z"}
    assert await refused(gateway, BACKTEST, **wrong) == (422, "span_too_long")
    wrong = {"alarm_rule": {"close_score": 0.6}}
    assert await refused(gateway, BACKTEST, **wrong) == (422, "rule_contradiction")


async def test_what_a_camera_saw_while_it_was_tampered_with_is_no_normal_footage(gateway, gate):
    await gate.clips(8)
    covered = {
        "kind": AlertKind.CAMERA_COVERED,
        "severity": Severity.HIGH,
        "start_us": gate.start_us + 100 * SECOND,
        "now_us": now_us(),
    }
    async with gateway.city.database.writing() as session:
        camera = await gateway.city.registry.get("gate")
        alert = await alerts.open_alert(session, camera, **covered)
        await alerts.close_alert(session, alert.id, gate.start_us + 199 * SECOND, now_us())
    answer = await post(gateway, f"{URL}/calibrate", **gate.span)
    assert answer["calibration"]["frames"] == 8 * FRAMES - 100
