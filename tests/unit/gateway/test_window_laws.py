"""The laws of the clip, against a real Redis, under generated frame orders, clocks and crashes."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.gateway.core.camera import Camera, CameraMode
from services.gateway.intake.window import Windows
from services.gateway.settings import GatewaySettings
from shared.bus import Bus, Delivery, Settlement
from shared.messages import ClipOutcome, ClipReady, FrameRef, Outcome
from shared.topics import CLIPS, Group, PartitionKeys

SECOND = 1_000_000
INTERVAL = 200_000
START = 1_700_000_000 * SECOND


@dataclass
class World:
    """One camera, the gateways that take its frames, and the workers that settle its clips."""

    bus: Bus
    windows: Windows
    camera: Camera
    now: int = START
    captured: int = START
    pushed: list[tuple[FrameRef, str, str, int]] = field(default_factory=list)
    refused: Counter = field(default_factory=Counter)
    freed: Counter = field(default_factory=Counter)
    clips: dict[str, ClipReady] = field(default_factory=dict)
    held: dict[str, set[Group]] = field(default_factory=dict)

    async def push(self, captured: int, body: str = "a"):
        keys = self.windows.keys(self.camera.id)
        frame = FrameRef(
            key=keys.frame(captured, body, 1000), captured_us=captured, width=4, height=4
        )
        await self.bus.frames.set(frame.key, b"x")
        answer = await self.windows.accept(self.camera, frame, body, "", now_us=self.now)
        await self.free([*answer.freed, *([frame.key] if answer.unneeded else [])], frame.key)
        if answer.status in ("accepted", "thinned"):
            told = (frame, body, answer.status, answer.epoch)
            # What was pushed before gets its first answer, and is no new frame.
            if told not in self.pushed:
                self.pushed.append(told)
        else:
            self.refused[answer.reason] += 1
        if answer.published:
            await self.look()
        return answer

    async def free(self, keys, own=None):
        for key in keys:
            if key != own:
                self.freed[key] += 1
            await self.bus.frames.unlink(key)

    async def look(self):
        newest = next(reversed(self.clips), None)
        new = await self.bus.redis.xrange(CLIPS.key(0), f"({newest}" if newest else "-")
        for entry, fields in new:
            if entry.decode() not in self.clips:
                self.clips[entry.decode()] = ClipReady.unpack(fields[b"body"])
                self.held[entry.decode()] = {Group.ANOMALY, Group.REID}

    async def settle(self, entry: str, group: Group):
        """A group's last reader is through with the clip."""
        delivery = Delivery(CLIPS, 0, entry, "ClipReady", b"", "")
        before = await self.bus.redis.hkeys(self.windows.keys(self.camera.id).refs)
        await self.bus.settle(delivery, group, Settlement(release=(entry,)), owed=True)
        after = await self.bus.redis.hkeys(self.windows.keys(self.camera.id).refs)
        for key in set(before) - set(after):
            self.freed[key.decode()] += 1
        self.held[entry].discard(group)

    async def sweep(self):
        async def find(_):
            return self.camera

        count = await self.windows.sweep(find, now_us=self.now)
        await self.look()
        return count

    async def account(self) -> dict[str, int]:
        raw = await self.bus.redis.hgetall(self.windows.keys(self.camera.id).account)
        return {name.decode(): int(value) for name, value in raw.items()}


def loose(**changes) -> GatewaySettings:
    """Settings under which nothing is refused for lag."""
    generous = {
        "soft_backlog": 10_000,
        "hard_backlog": 20_000,
        "shed_backlog": 10_000,
        "max_backlog_age_s": 1e6,
        "frame_ttl_s": 1e7,
        "frame_future_s": 1e9,
    }
    return GatewaySettings(**(generous | changes))


def check_clips(world: World, length: int) -> None:
    clips = sorted(world.clips.values(), key=lambda clip: clip.seq)
    assert [clip.seq for clip in clips] == list(range(len(clips))), "seq is contiguous"
    assert len({clip.clip_id for clip in clips}) == len(clips)
    assert [clip.epoch for clip in clips] == sorted(clip.epoch for clip in clips)
    for clip in clips:
        times = [frame.captured_us for frame in clip.frames]
        assert times == sorted(set(times)), "in the order of capture, each once"
        assert len(clip.frames) <= length
        assert clip.short == (len(clip.frames) < length), (
            "a window is full, or says that it is short"
        )
        assert len(clip.owned) >= 1
        gaps = [b - a for a, b in zip(times, times[1:], strict=False)]
        assert all(gap <= 3 * INTERVAL for gap in gaps), "no window spans a gap"
    for a, b in zip(clips, clips[1:], strict=False):
        if a.epoch == b.epoch:
            assert a.owned[-1].captured_us < b.owned[0].captured_us


def check_ownership(world: World) -> None:
    owned = Counter(
        (clip.epoch, frame.captured_us) for clip in world.clips.values() for frame in clip.owned
    )
    taken = Counter(
        (epoch, frame.captured_us)
        for frame, _, status, epoch in world.pushed
        if status == "accepted"
    )
    assert set(owned) == set(taken), "every accepted frame is owned"
    assert set(owned.values()) <= {1}, "by one clip"


@pytest.fixture
def run(redis_server):
    """Runs a scenario on an empty Redis."""

    def run_on_empty(scenario, **changes):
        async def whole():
            bus = Bus(redis_server.url)
            await bus.redis.flushall()
            config = loose(**changes)
            camera = Camera(id="gate", name="Gate", mode=CameraMode.ARCHIVE)
            world = World(bus, Windows(bus, config), camera)
            try:
                await scenario(world)
            finally:
                await bus.close()

        asyncio.run(whole())

    return run_on_empty


STEPS = st.lists(
    st.one_of(
        # How far the next frame is ahead of the newest: mostly a slot, sometimes jitter, a burst,
        # a gap, an old frame or a clock that was set back.
        st.tuples(st.just("push"), st.sampled_from([200, 200, 200, 200, 100, 33, 190, 215, 400])),
        st.tuples(st.just("push"), st.sampled_from([700, 5_000, -150, -300, -900])),
        st.tuples(st.just("jump"), st.sampled_from([-20_000, -3_600_000])),
        st.tuples(st.just("repeat"), st.integers(1, 20)),
        st.tuples(st.just("sweep"), st.sampled_from([500, 8_000, 30_000])),
        st.tuples(st.just("settle"), st.sampled_from([Group.ANOMALY, Group.REID])),
        st.tuples(st.just("burst"), st.permutations(range(6))),
    ),
    min_size=20,
    max_size=100,
)


async def play(world: World, steps) -> None:
    for kind, value in steps:
        if kind == "push":
            world.now += 50_000
            await world.push(world.captured + value * 1000)
            world.captured = max(world.captured, world.captured + value * 1000)
        elif kind == "jump":
            # The camera's clock is set back, and it goes on from there.
            world.captured += value * 1000
            for _ in range(6):
                world.captured += INTERVAL
                await world.push(world.captured)
        elif kind == "repeat" and len(world.pushed) >= value:
            frame, body, status, epoch = world.pushed[-value]
            before = await world.account()
            answer = await world.windows.accept(world.camera, frame, body, "", now_us=world.now)
            assert (answer.status, answer.epoch) == (status, epoch), "the first answer again"
            assert (await world.account())["accepted"] == before["accepted"]
        elif kind == "sweep":
            world.now += value * 1000
            await world.sweep()
        elif kind == "settle":
            owing = [entry for entry, groups in world.held.items() if value in groups]
            if owing:
                await world.settle(owing[0], value)
        elif kind == "burst":
            # Several gateways take the camera's next frames at the same time, in any order.
            times = [world.captured + (n + 1) * INTERVAL for n in value]
            await asyncio.gather(*(world.push(time) for time in times))
            world.captured = max(times)


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS, stride=st.sampled_from([1, 4, 16]))
def test_the_laws_hold_for_any_order_of_frames_and_any_clock(run, steps, stride):
    async def scenario(world):
        await play(world, steps)
        world.now += 3600 * SECOND
        await world.sweep()
        check_clips(world, 16)
        check_ownership(world)
        account = await world.account()
        thinned = sum(1 for _, _, status, _ in world.pushed if status == "thinned")
        assert account.get("accepted", 0) == len(world.pushed)
        assert account.get("thinned", 0) == thinned
        assert account.get("owned", 0) == len(world.pushed) - thinned
        assert account.get("clips", 0) == len(world.clips)
        counted = {k.removeprefix("refused."): v for k, v in account.items() if "refused." in k}
        assert counted == dict(world.refused)

    run(scenario, clip_stride=stride)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS, stride=st.sampled_from([1, 5, 16]))
def test_a_frame_lives_as_long_as_it_is_needed_and_no_longer(run, steps, stride):
    async def scenario(world):
        await play(world, steps)
        for entry, groups in world.held.items():
            if groups:
                keys = [frame.key for frame in world.clips[entry].frames]
                assert await world.bus.frames.exists(*keys) == len(keys), "an open clip has all"
        for entry in list(world.held):
            for group in list(world.held[entry]):
                await world.settle(entry, group)
        await world.windows.forget(world.camera.id)
        keys = PartitionKeys(0)
        assert int(await world.bus.redis.get(keys.bytes_in_flight) or 0) == 0
        assert await world.bus.redis.hlen(keys.holders) == 0
        assert await world.bus.redis.exists(world.windows.keys("gate").refs) == 0
        assert await world.bus.backlog(CLIPS) == 0
        assert all(count == 1 for count in world.freed.values()), "and is freed once"

    run(scenario, clip_stride=stride)


def test_a_camera_at_twice_the_rate_is_thinned_evenly(run):
    async def scenario(world):
        for n in range(64):
            jitter = (n * 7919 % 41 - 20) * 1000
            await world.push(START + n * 100_000 + jitter)
        (first, *_), times = world.clips.values(), []
        times = [frame.captured_us for frame in first.frames]
        steps = [b - a for a, b in zip(times, times[1:], strict=False)]
        assert all(150_000 <= step <= 250_000 for step in steps)

    run(scenario)


def test_windows_overlap_by_the_stride_and_own_no_frame_twice(run):
    async def scenario(world):
        for n in range(28):
            await world.push(START + n * INTERVAL)
        sizes = [(clip.owned_from, len(clip.owned)) for clip in world.clips.values()]
        assert sizes == [(0, 16), (12, 4), (12, 4), (12, 4)]

    run(scenario, clip_stride=4)


def test_a_slow_camera_s_window_is_published_when_its_time_has_come(run):
    async def scenario(world):
        for n in range(10):
            await world.push(START + n * INTERVAL)
        world.now += 1 * SECOND
        assert await world.sweep() == 0
        world.now += 10 * SECOND
        assert await world.sweep() == 1
        (clip,) = world.clips.values()
        assert clip.short
        assert len(clip.owned) == 10
        assert await world.sweep() == 0, "sweeping again does nothing"

    run(scenario)


def test_an_overdue_window_is_filled_from_earlier_frames(run):
    async def scenario(world):
        for n in range(20):
            await world.push(START + n * INTERVAL)
        world.now += 60 * SECOND
        await world.sweep()
        _, last = world.clips.values()
        assert not last.short
        assert (last.owned_from, len(last.owned)) == (12, 4)

    run(scenario)


def test_a_sustained_backward_jump_opens_a_new_epoch_and_a_single_one_does_not(run):
    async def scenario(world):
        for n in range(8):
            await world.push(START + n * INTERVAL)
        assert (await world.push(START - 3600 * SECOND)).reason == "late"
        answer = await world.push(START + 8 * INTERVAL)
        assert answer.status == "accepted"
        for n in range(4):
            assert (await world.push(START - 60 * SECOND + n * INTERVAL)).reason == "late"
        fifth = await world.push(START - 60 * SECOND + 4 * INTERVAL)
        assert fifth.status == "accepted"
        assert fifth.epoch > answer.epoch
        (clip,) = world.clips.values()
        assert (clip.epoch, len(clip.owned)) == (answer.epoch, 9), "the old stretch is published"

    run(scenario)


def test_another_frame_of_the_same_moment_is_a_conflict(run):
    async def scenario(world):
        await world.push(START, "a")
        assert (await world.push(START, "b")).reason == "conflict"
        assert (await world.push(START, "a")).status == "accepted"

    run(scenario)


def test_live_cameras_refuse_old_footage_and_archives_take_it(run):
    async def scenario(world):
        old = world.now - 7200 * SECOND
        assert (await world.push(old)).status == "accepted"
        world.camera = Camera(id="live", name="Live")
        assert (await world.push(old)).reason == "stale"
        assert (await world.push(world.now)).status == "accepted"

    run(scenario)


def test_a_time_ahead_of_the_server_is_refused(run):
    async def scenario(world):
        assert (await world.push(world.now + 4 * SECOND)).status == "accepted"
        assert (await world.push(world.now + 6 * SECOND)).reason == "future"

    run(scenario, frame_future_s=5.0)


async def push_many(world, frames: int, start: int = START) -> list:
    answers = []
    for n in range(frames):
        world.now = start + n * INTERVAL
        answers.append(await world.push(start + n * INTERVAL))
    return answers


def test_under_lag_the_stride_widens_and_then_frames_are_refused(run):
    async def scenario(world):
        answers = await push_many(world, 400)
        owned = [len(clip.owned) for clip in world.clips.values()]
        assert owned[1] == 4, "the setting, while there is no lag"
        assert max(owned[1:]) > 12, "nearly no overlap, shortly before the limit"
        assert owned[1:] == sorted(owned[1:])
        refused = [answer for answer in answers if answer.status == "overloaded"]
        assert refused
        assert {answer.reason for answer in refused} == {"backlog"}
        assert all(1 <= answer.retry_after_s <= 30 for answer in refused)
        assert len(world.clips) == 16

    run(scenario, clip_stride=4, soft_backlog=4, hard_backlog=16)


def test_when_the_backlog_is_gone_frames_are_taken_again(run):
    async def scenario(world):
        await push_many(world, 200)
        assert (await world.push(START + 300 * INTERVAL)).status == "overloaded"
        for entry in list(world.held):
            await world.settle(entry, Group.ANOMALY)
        assert (await world.push(START + 300 * INTERVAL)).status == "accepted"

    run(scenario, soft_backlog=1, hard_backlog=4)


def test_bytes_in_flight_are_bounded(run):
    async def scenario(world):
        answers = await push_many(world, 80)
        assert [answer.status for answer in answers[:50]] == ["accepted"] * 50
        assert {answer.reason for answer in answers[50:]} == {"bytes"}

    run(scenario, max_bytes_in_flight=50_000)


def test_a_backlog_that_grows_old_stops_the_intake(run):
    async def scenario(world):
        await push_many(world, 16)
        world.now += 100 * SECOND
        assert (await world.push(START + 20 * INTERVAL)).status == "accepted"
        world.now += 30 * SECOND
        assert (await world.push(START + 21 * INTERVAL)).reason == "age"

    run(scenario, max_backlog_age_s=120.0, frame_ttl_s=300.0)


def test_a_dead_reid_never_stops_the_intake_and_its_oldest_clips_are_shed(run):
    async def scenario(world):
        for n in range(16 * 12):
            world.now = START + n * INTERVAL
            assert (await world.push(START + n * INTERVAL)).status == "accepted"
            for entry, groups in list(world.held.items()):
                if Group.ANOMALY in groups:
                    await world.settle(entry, Group.ANOMALY)
        assert await world.bus.open_clips(Group.REID) == 5
        shed = [
            ClipOutcome.unpack(fields[b"body"])
            for _, fields in await world.bus.redis.xrange("tracklets.v1:{0}")
        ]
        assert [outcome.seq for outcome in shed] == list(range(7)), "the oldest, each told once"
        assert {outcome.outcome for outcome in shed} == {Outcome.SHED}
        assert (await world.account())["shed.reid"] == 7 * 16
        assert await world.bus.backlog(CLIPS) == 5, "what both groups are through with is gone"

    run(scenario, shed_backlog=5)


def test_a_camera_that_is_forgotten_leaves_nothing_and_may_come_back(run):
    async def scenario(world):
        await push_many(world, 20)
        await world.windows.forget("gate")
        keys = world.windows.keys("gate")
        assert not await world.bus.redis.exists(keys.window, keys.ring, keys.seen, keys.account)
        world.now += 5 * SECOND
        again = await world.push(START + 500 * INTERVAL)
        assert again.status == "accepted"
        assert again.epoch > START // SECOND

    run(scenario)
