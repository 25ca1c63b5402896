"""An error of Redis or of a database -> whether waiting may help."""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING

from redis import exceptions

from shared.errors import Unavailable

if TYPE_CHECKING:
    from sqlalchemy.exc import DBAPIError

OUTAGES = (Unavailable, exceptions.RedisError)
"""What a loop of ours waits out, saying so, until Redis or the database is back."""

PASSING = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.WatchError,
    exceptions.OutOfMemoryError,
    exceptions.ReadOnlyError,
    exceptions.TryAgainError,
    exceptions.ClusterDownError,
)

SQLITE_PASSING = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)

POSTGRES_PASSING = re.compile("08|40|53|57|58|55P03")
"""SQLSTATE of lost connections, deadlocks, full disks, shut-downs, system errors, locks."""

NOT_MIGRATED = re.compile("no such (table|column)|42P01|42703")
"""A service's own `init` makes the schema, maybe after the service has started."""


def is_passing(error: exceptions.RedisError) -> bool:
    """The server is away, loading, full or read-only.

    Any other error is a fault of the command that was sent, and will not pass.
    """
    disk_is_full = str(error).startswith("MISCONF")
    return isinstance(error, PASSING) or disk_is_full


def will_pass(error: DBAPIError) -> bool:
    """The database is away, full, locked, or not migrated yet.

    Any other error is a fault of the statement that was sent, and will not pass.
    """
    if error.connection_invalidated:
        return True
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        # The low byte is the kind; the others tell it in more detail.
        kind = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        return kind in SQLITE_PASSING or NOT_MIGRATED.match(str(cause)) is not None
    state = getattr(cause, "sqlstate", None)
    if state is None:  # of the driver itself: the connection is closed
        return True
    return bool(POSTGRES_PASSING.match(state) or NOT_MIGRATED.match(state))
