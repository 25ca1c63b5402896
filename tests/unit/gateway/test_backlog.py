"""The gauges of what waits."""

from __future__ import annotations

import time

from prometheus_client import REGISTRY

from services.gateway.intake.backlog import BacklogGauge
from shared.health import Health
from tests.unit.gateway.test_frames_api import JPEG, picture


async def test_the_gauges_show_the_clip_that_nobody_has_scored_yet(gateway):
    await gateway.add_camera("gate", analysis_fps=5)
    start = time.time() - 60
    for n in range(gateway.settings.clip_length):
        response = await gateway.api.post(
            "/v1/cameras/gate/frames",
            params={"captured_at": start + n / 5},
            content=picture(n),
            headers=JPEG,
        )
        assert response.status_code == 202

    await BacklogGauge(gateway.city.bus, Health().vital("backlog")).read()

    assert REGISTRY.get_sample_value("citybrain_open_clips", {"group": "anomaly"}) == 1
    assert REGISTRY.get_sample_value("citybrain_backlog", {"topic": "clips.v1"}) == 1
    assert REGISTRY.get_sample_value("citybrain_backlog", {"topic": "scores.v1"}) == 0
