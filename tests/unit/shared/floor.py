"""Tables of every kind that shared/ offers columns for, as a service would declare them."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.database import INTEGERS, Counter64, Database, new_metadata
from shared.folding import CursorColumns, OutcomeColumns
from shared.jobs import JobColumns
from shared.leases import LeaseColumns
from shared.outbox import OriginColumns, OutboxColumns

ROOT = Path(__file__).parents[3]


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


class Lease(LeaseColumns, Base):
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
    async with database.writing() as session:
        await (await session.connection()).run_sync(Base.metadata.create_all)


async def until(condition, *, within_s: float = 20.0) -> None:
    """Waits for what must come true; a generous bound turns a hang into a failure."""
    async with asyncio.timeout(within_s):
        while True:
            answer = condition()
            if asyncio.iscoroutine(answer):
                answer = await answer
            if answer:
                return
            await asyncio.sleep(0.02)


async def start_program(name: str, *arguments: str) -> asyncio.subprocess.Process:
    """A process of one of the programs beside this file."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", f"tests.unit.shared.programs.{name}"),
        *arguments,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
