"""The tables of the anomaly service's database: its jobs."""

from __future__ import annotations

from sqlalchemy.orm import DeclarativeBase

from shared.database import INTEGERS, new_metadata
from shared.jobs import JobColumns


class Base(DeclarativeBase):
    metadata = new_metadata()
    type_annotation_map = INTEGERS


class JobRow(JobColumns, Base):
    pass
