"""What can go wrong, named for what happened. HTTP statuses live in shared.problems alone.

CityBrainError
├── Invalid                 the caller's request cannot be taken as it is
│   ├── Malformed               it does not have the form that was asked for
│   ├── TooLarge                it is over a stated bound
│   └── UnsupportedMedia        it is not of a kind that is taken here
├── Missing                 something that was named does not exist
├── Conflict                it contradicts what is already there
│   └── Stale                   the caller's version is not the newest
├── Denied                  the caller may not do this
│   └── Unauthenticated         nobody knows who the caller is
├── Overloaded              try again later: the queue is full (carries retry_after_s)
├── Unavailable             something this service rests on is away (Redis, database, peer)
├── LeaseLost               another holder has taken over: stop writing
└── Corrupt                 stored bytes are not what was stored (checksum, truncation)
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One field's fault, as listed under `errors` of a problem document."""

    field: str
    code: str
    message: str


class CityBrainError(Exception):
    """Base of all errors that CityBrain raises on purpose.

    code: a stable snake_case word that clients may switch on.
    """

    code = "error"

    def __init__(
        self, message: str, *, code: str | None = None, faults: tuple[Fault, ...] = ()
    ) -> None:
        super().__init__(message)
        self.code = code or type(self).code
        self.faults = faults


class Invalid(CityBrainError):
    code = "invalid"


class Malformed(Invalid):
    code = "malformed"


class TooLarge(Invalid):
    code = "too_large"


class UnsupportedMedia(Invalid):
    code = "unsupported_media"


class Missing(CityBrainError):
    code = "not_found"


class Conflict(CityBrainError):
    code = "conflict"


class Stale(Conflict):
    code = "stale_version"


class Denied(CityBrainError):
    code = "denied"


class Unauthenticated(Denied):
    code = "unauthenticated"


class Overloaded(CityBrainError):
    """A queue is full. `retry_after_s` is how long its backlog should take to drain."""

    code = "overloaded"

    def __init__(
        self, message: str, *, retry_after_s: int = 1, extra: dict[str, object] | None = None
    ) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.extra = extra or {}


class Unavailable(CityBrainError):
    code = "unavailable"


class LeaseLost(CityBrainError):
    code = "lease_lost"


class Corrupt(CityBrainError):
    code = "corrupt"
