from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.clock import SECOND_US
from shared.database import Database
from shared.errors import Unavailable
from shared.folding import GAP_WAIT_S, Arrival, Fold
from shared.messages import ClipOutcome, Outcome
from tests.unit.shared.floor import Cursor, OutcomeRow, make_tables, on_sqlite

WAIT_US = int(GAP_WAIT_S * SECOND_US)


def outcome(seq, *, camera="gate", born=1, kind=Outcome.DONE, replayed=False) -> ClipOutcome:
    return ClipOutcome(
        camera_id=camera,
        born=born,
        epoch=0,
        seq=seq,
        captured_us=(seq * 10, seq * 10 + 9),
        ready_us=0,
        clip_entry=f"{seq}-0",
        outcome=kind,
        replayed=replayed,
    )


@dataclass
class Folding:
    """A fold of one camera's outcomes, and what it has folded so far."""

    database: Database
    camera: str = "gate"
    now_us: int = 1_000 * SECOND_US
    folded: list[tuple[int, int]] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.fold = Fold("test", self.database, cursors=Cursor, outcomes=OutcomeRow)

    async def step(self, row) -> None:
        if row.camera_id == self.camera:
            self.folded.append((row.born, row.seq))
            self.kinds.append(row.outcome)

    async def take(self, seq, **more) -> Arrival:
        message = outcome(seq, camera=self.camera, **more)
        async with self.database.writing() as session:
            return await self.fold.take(session, message, self.step, self.now_us)

    async def sweep(self, after_s: float = 0) -> list[str]:
        self.now_us += int(after_s * SECOND_US)
        async with self.database.writing() as session:
            return await self.fold.skip_gaps(session, self.step, self.now_us)

    @property
    def seqs(self) -> list[int]:
        return [seq for _, seq in self.folded]


@pytest.fixture
def folding(database):
    return Folding(database)


async def test_what_comes_in_turn_is_folded_at_once(folding):
    assert [await folding.take(seq) for seq in range(3)] == [Arrival.IN_TURN] * 3
    assert folding.seqs == [0, 1, 2]


@on_sqlite
async def test_what_comes_early_waits_for_its_turn(folding):
    assert await folding.take(2) is Arrival.EARLY
    assert await folding.take(1) is Arrival.EARLY
    assert folding.seqs == []
    assert await folding.take(0) is Arrival.IN_TURN
    assert folding.seqs == [0, 1, 2]


@on_sqlite
async def test_what_is_repeated_folds_nothing(folding):
    await folding.take(0)
    await folding.take(2)
    assert await folding.take(0) is Arrival.REPEATED
    assert await folding.take(2) is Arrival.REPEATED
    await folding.take(1)
    assert folding.seqs == [0, 1, 2]


async def test_a_gap_is_waited_for_and_then_passed(folding):
    await folding.take(1)
    assert await folding.sweep(after_s=GAP_WAIT_S) == []
    assert await folding.sweep(after_s=0.001) == ["gate"]
    assert folding.seqs == [1]
    assert await folding.take(0) is Arrival.LATE
    assert await folding.take(2) is Arrival.IN_TURN
    assert folding.seqs == [1, 2]


@on_sqlite
async def test_several_gaps_are_waited_for_side_by_side(folding):
    for seq in (1, 3, 5, 7):
        await folding.take(seq)
    await folding.sweep(after_s=GAP_WAIT_S + 1)
    assert folding.seqs == [1, 3, 5, 7]


@on_sqlite
async def test_a_gap_is_waited_for_since_something_came_behind_it(folding):
    await folding.take(1)
    folding.now_us += 10 * SECOND_US
    await folding.take(4)
    await folding.sweep(after_s=6)
    assert folding.seqs == [1], "the second gap is 6 s old"
    await folding.take(3)
    await folding.sweep(after_s=10)
    assert folding.seqs == [1, 3, 4]


@on_sqlite
async def test_a_gap_that_closes_is_not_held_against_the_next_one(folding):
    await folding.take(1)
    folding.now_us += 14 * SECOND_US
    await folding.take(0)
    await folding.take(3)
    assert await folding.sweep(after_s=2) == []
    assert folding.seqs == [0, 1]


@on_sqlite
async def test_a_new_life_of_the_camera_starts_again(folding):
    await folding.take(0)
    await folding.take(5)
    assert await folding.take(1, born=2) is Arrival.EARLY
    assert await folding.take(1) is Arrival.LATE, "of the former life"
    assert await folding.take(0, born=2) is Arrival.IN_TURN
    await folding.sweep(after_s=GAP_WAIT_S + 1)
    assert folding.folded == [(1, 0), (2, 0), (2, 1)]


@on_sqlite
async def test_cameras_do_not_wait_for_each_other(database):
    gate, yard = Folding(database), Folding(database, "yard")
    await gate.take(1)
    assert await yard.take(0) is Arrival.IN_TURN
    assert (gate.seqs, yard.seqs) == ([], [0])


@on_sqlite
async def test_a_replay_takes_the_place_of_a_death(folding):
    await folding.take(1, kind=Outcome.DEAD)
    assert await folding.take(1) is Arrival.REPEATED, "only a replay may"
    assert await folding.take(1, replayed=True) is Arrival.EARLY
    await folding.take(0)
    assert folding.kinds == ["done", "done"]


@on_sqlite
async def test_a_replay_that_comes_after_its_turn_is_kept_and_folds_nothing(folding):
    await folding.take(0, kind=Outcome.DEAD)
    assert await folding.take(0, replayed=True) is Arrival.LATE
    assert folding.kinds == ["dead"]
    assert await folding.take(0, replayed=True) is Arrival.REPEATED
    async with folding.database.reading() as session:
        row = await session.get_one(OutcomeRow, ("gate", 1, 0))
    assert (row.outcome, row.folded) == ("done", True)


@on_sqlite
async def test_a_step_that_fails_leaves_its_outcome_to_be_taken_again(folding):
    async def fail(row):
        raise ValueError("no")

    async def take(step):
        async with folding.database.writing() as session:
            return await folding.fold.take(session, outcome(0), step, folding.now_us)

    with pytest.raises(ValueError, match="no"):
        await take(fail)
    assert await take(folding.step) is Arrival.IN_TURN
    assert folding.seqs == [0]


async def test_an_outcome_that_cannot_be_folded_does_not_stop_its_camera(folding):
    good = folding.step

    async def fail_on_one(row):
        await good(row)
        if row.seq == 1:
            row.body = None
            raise ValueError("nobody can fold it")

    folding.step = fail_on_one
    await folding.take(1)
    await folding.take(2)
    await folding.take(0)
    await folding.take(3)
    assert folding.seqs == [0, 1, 2, 3]
    async with folding.database.reading() as session:
        row = await session.get_one(OutcomeRow, ("gate", 1, 1))
    assert (row.outcome, row.reason) == ("dead", "unfoldable")


async def test_a_database_that_goes_away_in_a_step_kills_nothing(folding):
    async def fail(row):
        if row.seq == 1:
            raise Unavailable("away")

    await folding.take(1)
    async with folding.database.writing() as session:
        with pytest.raises(Unavailable):
            await folding.fold.take(session, outcome(0), fail, folding.now_us)
        await session.rollback()
    await folding.take(0)
    assert folding.kinds == ["done", "done"]


async def test_an_outcome_is_taken_by_one_of_several_at_once(database):
    foldings = [Folding(database) for _ in range(4)]
    for seq in range(6):
        arrivals = await asyncio.gather(*(folding.take(seq) for folding in foldings))
        assert sorted(arrivals) == [Arrival.IN_TURN] + [Arrival.REPEATED] * 3
    assert sorted(seq for folding in foldings for seq in folding.seqs) == list(range(6))


async def test_sweepers_do_not_fold_the_same_gap_twice(database):
    cameras = [f"c{n}" for n in range(8)]
    for camera in cameras:
        await Folding(database, camera).take(1)
    sweepers = [Folding(database) for _ in range(4)]
    skipped = await asyncio.gather(*(sweeper.sweep(after_s=16) for sweeper in sweepers))
    skipped.append(await sweepers[0].sweep())
    assert sorted(camera for found in skipped for camera in found) == cameras


# Any arrival order, with duplicates and losses

ARRIVE = st.tuples(st.just("arrive"), st.integers(1, 2), st.integers(0, 6))
PASS = st.tuples(st.just("pass"), st.sampled_from([0.0, 1.0, 7.0, 14.0, 16.0]))
HISTORIES = st.lists(st.one_of(ARRIVE, ARRIVE, ARRIVE, PASS), max_size=24)


class Laws(Folding):
    """Plays a history and checks after every event that no law has been broken."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.arrived: dict[tuple[int, int], int] = {}
        self.waiting: set[tuple[int, int]] = set()

    async def play(self, history) -> None:
        for event in [*history, ("pass", GAP_WAIT_S + 1)]:
            before = len(self.folded)
            if event[0] == "arrive":
                await self._arrive(*event[1:])
            else:
                await self.sweep(event[1])
                assert not any(self._is_overdue(key) for key in self._current())
            self._check(self.folded[:before], self.folded[before:])
        assert not self._current(), "in the end all are folded"

    async def _arrive(self, born, seq) -> None:
        first = (born, seq) not in self.arrived
        self.arrived.setdefault((born, seq), self.now_us)
        if first:
            self.waiting.add((born, seq))
        arrival = await self.take(seq, born=born)
        assert (arrival is Arrival.REPEATED) == (not first)
        if arrival is Arrival.LATE:
            self.waiting.discard((born, seq))

    def _check(self, former, new) -> None:
        assert self.folded == sorted(set(self.folded)), "each once, in order"
        assert self.waiting.issuperset(new), "only what has come, and was not late"
        self.waiting -= set(new)
        last = former[-1] if former else (0, 0)
        for born, seq in new:
            expected = last[1] + 1 if born == last[0] else 0
            if seq != expected:
                assert all((born, gap) not in self.arrived for gap in range(expected, seq))
                assert self.arrived[born, seq] <= self.now_us
                behind = [
                    at for key, at in self.arrived.items() if key[0] == born and key[1] >= seq
                ]
                assert min(behind) < self.now_us - WAIT_US, "a gap is waited for"
            last = (born, seq)
        born, seq = last
        assert (born, seq + 1) not in self.waiting, "what is next does not wait"

    def _current(self) -> set[tuple[int, int]]:
        newest = max((born for born, _ in self.arrived), default=0)
        return {key for key in self.waiting - set(self.folded) if key[0] == newest}

    def _is_overdue(self, key) -> bool:
        return self.arrived[key] < self.now_us - WAIT_US


def test_in_any_order_each_is_folded_once_and_gaps_are_passed_after_the_wait_only(sqlite_url):
    with asyncio.Runner() as runner:
        database = Database(sqlite_url)
        runner.run(make_tables(database))
        played = 0

        @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(HISTORIES)
        def any_history(history):
            nonlocal played
            played += 1
            runner.run(Laws(database, f"c{played}").play(history))

        any_history()
        runner.run(database.close())
