"""Tables of every kind that shared/ offers columns for, as a service would declare them."""

from __future__ import annotations

import asyncio
import multiprocessing
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import String, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.database import INTEGERS, Counter64, Database, new_metadata
from shared.folding import CursorColumns, OutcomeColumns
from shared.jobs import JobColumns
from shared.leases import Lease, LeaseColumns
from shared.outbox import OriginColumns, OutboxColumns

ROOT = Path(__file__).parents[3]

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For a test that has two sides but asks the same of both: it runs on the quicker one."""


class Base(DeclarativeBase):
    metadata = new_metadata()
    type_annotation_map = INTEGERS


class Counter(Base):
    __tablename__ = "counters"

    name: Mapped[str] = mapped_column(String(16), primary_key=True)
    value: Mapped[int]


class Note(Base):
    """A line in a log: `id` tells the order of the commits of one fenced writer after the other."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(Counter64, primary_key=True, autoincrement=True)
    writer: Mapped[str] = mapped_column(String(16))
    epoch: Mapped[int]


class LeaseRow(LeaseColumns, Base):
    pass


class Outbox(OutboxColumns, Base):
    pass


class Origin(OriginColumns, Base):
    pass


class Cursor(CursorColumns, Base):
    __tablename__ = "cursors"


class OutcomeRow(OutcomeColumns, Base):
    __tablename__ = "outcomes"


class Job(JobColumns, Base):
    pass


async def make_tables(database: Database) -> None:
    """The tables, empty."""
    async with database.writing() as session:
        await (await session.connection()).run_sync(Base.metadata.create_all)
        if not database.is_sqlite:
            names = ", ".join(Base.metadata.tables)
            await session.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))


async def until(condition, *, within_s: float = 30.0) -> None:
    """Waits for what must come true; a generous bound turns a hang into a failure."""
    async with asyncio.timeout(within_s):
        while True:
            answer = condition()
            if asyncio.iscoroutine(answer):
                answer = await answer
            if answer:
                return
            await asyncio.sleep(0.02)


def log_keeper(database: Database, writer: str):
    """The work of a leader: a line in the log every few milliseconds, each of them fenced."""

    async def work(lease: Lease) -> None:
        while True:
            async with database.writing() as session:
                await lease.check(session)
                session.add(Note(writer=writer, epoch=lease.epoch))
            await asyncio.sleep(0.01)

    return work


@cache
def _processes():
    """Processes are forked from one that has imported all they need: a fresh one takes seconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.unit.shared.programs"])
    return context


def start(program, *arguments):
    """A process that runs one of the functions of `programs`."""
    process = _processes().Process(target=program, args=arguments, daemon=True)
    process.start()
    return process


async def end_of(process) -> int:
    """Waits for a process; returns its exit code."""
    await asyncio.to_thread(process.join, 60)
    return process.exitcode
