"""An error of Redis -> whether waiting may help."""

from __future__ import annotations

from redis import exceptions

PASSING = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.WatchError,
    exceptions.OutOfMemoryError,
    exceptions.ReadOnlyError,
    exceptions.TryAgainError,
    exceptions.ClusterDownError,
)


def is_passing(error: exceptions.RedisError) -> bool:
    """The server is away, loading, full or read-only.

    Any other error is a fault of the command that was sent, and will not pass.
    """
    disk_is_full = str(error).startswith("MISCONF")
    return isinstance(error, PASSING) or disk_is_full
