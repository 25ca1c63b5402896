"""Frames -> the gateway's HTTP API, in order, for as long as it takes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003 - dataclass field
from typing import Any

import httpx
import stamina

LONGEST_PAUSE_S = 30.0

Told = Callable[[str], None]


@dataclass(frozen=True)
class Push:
    """A frame to push. boxes: people in it, as the API takes them (None: nobody looked)."""

    body: bytes
    captured_at: datetime
    boxes: list[dict[str, float]] | None = None


@dataclass
class Tally:
    """What became of the frames that were pushed."""

    accepted: int = 0
    thinned: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    waits: int = 0

    @property
    def done(self) -> int:
        return self.accepted + self.thinned + sum(self.refused.values())

    def refuse(self, code: str) -> None:
        self.refused[code] = self.refused.get(code, 0) + 1


class Refused(Exception):
    """The gateway will not take it, now or later: the key, the camera or the request is wrong."""


class Pusher:
    """Pushes to one camera. The gateway away, or busy: waits and goes on; nothing is skipped."""

    def __init__(
        self, gateway: str, api_key: str, camera_id: str, *, tell: Told = lambda text: None
    ) -> None:
        """tell: is told in words why it waits."""
        self.tally = Tally()
        self._path = f"/v1/cameras/{camera_id}/frames"
        self._camera_id = camera_id
        self._tell = tell
        self._client = httpx.AsyncClient(
            base_url=gateway, headers={"X-API-Key": api_key}, timeout=30
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def register(self, name: str, analysis_fps: float | None, mode: str | None) -> None:
        """Registers the camera where it is unknown, and changes what is asked for where it is not.

        Raises Refused.
        """
        wanted = {"analysis_fps": analysis_fps, "mode": mode}
        asked = {key: value for key, value in wanted.items() if value is not None}
        response = await self._send("GET", f"/v1/cameras/{self._camera_id}")
        if response.status_code == httpx.codes.NOT_FOUND:
            body = {"id": self._camera_id, "name": name, **asked}
            response = await self._send("POST", "/v1/cameras", json=body)
        elif response.is_success and asked:
            response = await self._send("PATCH", f"/v1/cameras/{self._camera_id}", json=asked)
        if not response.is_success:
            raise Refused(_reason(response))

    async def push(self, frames: Sequence[Push]) -> None:
        """Pushes frames in the order of capture; one alone as a plain body, several as a batch.

        Raises Refused.
        """
        if len(frames) == 1:
            await self._push_one(frames[0])
        else:
            await self._push_batch(frames)

    async def _push_one(self, frame: Push) -> None:
        headers = {"Content-Type": _kind_of(frame.body)}
        if frame.boxes is not None:
            headers["X-Person-Boxes"] = json.dumps(frame.boxes)
        response = await self._send(
            "POST",
            self._path,
            params={"captured_at": frame.captured_at.isoformat()},
            content=frame.body,
            headers=headers,
        )
        if response.is_success:
            self._count(response.json()["disposition"])
        elif _is_about_the_frame(response):
            self.tally.refuse(response.json()["code"])
        else:
            raise Refused(_reason(response))

    async def _push_batch(self, frames: Sequence[Push]) -> None:
        metadata = [
            {"captured_at": frame.captured_at.isoformat(), "boxes": frame.boxes} for frame in frames
        ]
        files = [
            ("frames", (f"{n}", frame.body, _kind_of(frame.body))) for n, frame in enumerate(frames)
        ]
        response = await self._send(
            "POST", f"{self._path}/batch", files=files, data={"metadata": json.dumps(metadata)}
        )
        if not response.is_success:
            raise Refused(_reason(response))
        result = response.json()
        for accepted in result["accepted"]:
            self._count(accepted["disposition"])
        for refused in result["refused"]:
            self.tally.refuse(refused["code"])

    def _count(self, disposition: str) -> None:
        if disposition == "thinned":
            self.tally.thinned += 1
        else:
            self.tally.accepted += 1

    async def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """The answer, once there is one that is neither a failure of the server nor a 429. What is
        sent twice is answered as the first time."""
        async for attempt in stamina.retry_context(
            on=self._pause_after, attempts=None, timeout=None, wait_max=LONGEST_PAUSE_S
        ):
            with attempt:
                response = await self._client.request(method, path, **request)
                busy = response.status_code == httpx.codes.TOO_MANY_REQUESTS
                if busy or response.is_server_error:
                    response.raise_for_status()
                return response
        raise AssertionError("the retries have no end")

    def _pause_after(self, error: Exception) -> bool | float:
        """Whether to try again, and after how long where the gateway has said so."""
        if isinstance(error, httpx.HTTPStatusError):
            self.tally.waits += 1
            pause_s = error.response.headers.get("Retry-After")
            self._tell(f"the gateway asks for patience ({error.response.status_code})")
            return float(pause_s) if pause_s else True
        if isinstance(error, httpx.TransportError):
            self._tell(f"the gateway is away ({type(error).__name__})")
            return True
        return False


def _kind_of(body: bytes) -> str:
    return "image/png" if body.startswith(b"\x89PNG") else "image/jpeg"


def _is_about_the_frame(response: httpx.Response) -> bool:
    """Whether only this frame was refused, and the next may be taken."""
    return response.status_code in (
        httpx.codes.CONFLICT,
        httpx.codes.REQUEST_ENTITY_TOO_LARGE,
        httpx.codes.UNSUPPORTED_MEDIA_TYPE,
        httpx.codes.UNPROCESSABLE_ENTITY,
    )


def _reason(response: httpx.Response) -> str:
    try:
        problem = response.json()
    except ValueError:
        return f"{response.status_code} {response.reason_phrase}"
    return f"{response.status_code} {problem.get('code')}: {problem.get('detail')}"
