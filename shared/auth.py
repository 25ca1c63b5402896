"""A request's credentials -> the principal behind them, and what it may do.

Keys are kept by their SHA-256 alone. The gateway's database is their truth; it projects them into
Redis, where every service looks them up, so that a revoked key is refused everywhere at once.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request
from fastapi.security import (
    APIKeyCookie,
    APIKeyHeader,
    HTTPAuthorizationCredentials,
    HTTPBearer,
    SecurityScopes,
)

from shared.clock import now_us
from shared.errors import Denied, Unauthenticated

if TYPE_CHECKING:
    from redis.asyncio import Redis

KEYS = "keys.v1"
SESSION_COOKIE = "citybrain_session"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Scope(StrEnum):
    """What a key may be allowed. `admin` implies all others."""

    FRAMES_WRITE = "frames:write"
    CAMERAS_READ = "cameras:read"
    CAMERAS_WRITE = "cameras:write"
    ALERTS_READ = "alerts:read"
    ALERTS_ACT = "alerts:act"
    PERSONS_READ = "persons:read"
    PERSONS_SEARCH = "persons:search"
    PERSONS_WRITE = "persons:write"
    PERSONS_ERASE = "persons:erase"
    MODELS_USE = "models:use"
    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    ADMIN = "admin"


@dataclass(frozen=True)
class Principal:
    """Who asks. cameras: the only ones it may see (None: all)."""

    key_id: str
    name: str
    scopes: frozenset[str]
    cameras: frozenset[str] | None = None

    def may(self, scope: str) -> bool:
        return Scope.ADMIN in self.scopes or scope in self.scopes

    def sees(self, camera_id: str) -> bool:
        return self.cameras is None or camera_id in self.cameras

    def check_camera(self, camera_id: str) -> None:
        """Raises Denied for a camera that the key is not for."""
        if not self.sees(camera_id):
            raise Denied(
                f"this key is not for camera {camera_id!r}; ask for one that names it",
                code="camera_denied",
            )


@dataclass(frozen=True)
class NewKey:
    """A fresh key. `secret` is shown once; only its digest is kept."""

    key_id: str
    secret: str
    digest: str


def make_key(prefix: str = "cb") -> NewKey:
    key_id = secrets.token_hex(6)
    secret = f"{prefix}_{key_id}_{secrets.token_urlsafe(32)}"
    return NewKey(key_id, secret, digest_of(secret))


def digest_of(secret: str) -> str:
    """Plain SHA-256: the secret is 256 random bits, so there is nothing to slow a guesser for."""
    return hashlib.sha256(secret.encode()).hexdigest()


class KeyDirectory:
    """The projection of the keys in Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def verify(self, secret: str) -> Principal:
        """Raises Unauthenticated for a key that is unknown, revoked or expired."""
        raw = await self._redis.hget(KEYS, digest_of(secret))
        if raw is None:
            raise Unauthenticated("this API key is unknown or has been revoked")
        entry = json.loads(raw)
        if entry["expires_us"] is not None and entry["expires_us"] <= now_us():
            raise Unauthenticated("this API key has expired; make a new one", code="key_expired")
        cameras = entry["cameras"]
        return Principal(
            key_id=entry["key_id"],
            name=entry["name"],
            scopes=frozenset(entry["scopes"]),
            cameras=None if cameras is None else frozenset(cameras),
        )

    async def put(self, digest: str, entry: dict[str, Any]) -> None:
        await self._redis.hset(KEYS, digest, json.dumps(entry))

    async def remove(self, digest: str) -> None:
        await self._redis.hdel(KEYS, digest)

    async def replace_all(self, entries: dict[str, dict[str, Any]]) -> None:
        async with self._redis.pipeline() as pipe:
            pipe.delete(KEYS)
            if entries:
                pipe.hset(KEYS, mapping={d: json.dumps(entry) for d, entry in entries.items()})
            await pipe.execute()


_header = APIKeyHeader(name="X-API-Key", auto_error=False)
_bearer = HTTPBearer(auto_error=False)
_cookie = APIKeyCookie(name=SESSION_COOKIE, auto_error=False)


async def authenticate(
    request: Request,
    needed: SecurityScopes,
    header: Annotated[str | None, Depends(_header)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    cookie: Annotated[str | None, Depends(_cookie)],
) -> Principal:
    """The principal of a request. Use as `Security(authenticate, scopes=[...])`.

    Raises Unauthenticated without a valid key, Denied where its scopes do not suffice.
    """
    secret = header or (bearer.credentials if bearer else None)
    if secret is None and cookie is not None:
        _refuse_foreign_site(request)
        secret = cookie
    if not secret:
        raise Unauthenticated("an API key is needed: send it as X-API-Key or as a Bearer token")
    directory: KeyDirectory = request.app.state.keys
    principal = await directory.verify(secret)
    for scope in needed.scopes:
        if not principal.may(scope):
            raise Denied(f"this key lacks the scope {scope!r}", code="scope_missing")
    return principal


def _refuse_foreign_site(request: Request) -> None:
    """A cookie is sent by the browser unasked: what changes state must come from our own page."""
    if request.method in SAFE_METHODS:
        return
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Denied("a session may change things from its own page only", code="foreign_site")
    origin = request.headers.get("origin")
    if origin is not None and origin.split("://")[-1] != request.headers.get("host"):
        raise Denied("a session may change things from its own page only", code="foreign_site")
