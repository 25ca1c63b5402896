"""The gateway's calls to the other services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from services.gateway.store.keys import SERVICE_SCOPES
from shared.errors import CityBrainError, Invalid, Malformed, Overloaded, Unavailable

if TYPE_CHECKING:
    from services.gateway.store.keys import Keys

SERVICE_KEY_S = 24 * 3600.0


class ReidPeer:
    """The re-ID service: searches its gallery by image."""

    def __init__(self, client: httpx.AsyncClient, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._secret: str | None = None

    async def close(self) -> None:
        await self._client.aclose()

    async def search(
        self, image: bytes, content_type: str, query: dict[str, Any]
    ) -> dict[str, Any]:
        """The gallery's answer to an image.

        Raises what the service refused the image for, Unavailable where the service is away.
        """
        response = await self._send(image, content_type, query)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            # Our key has expired, or Redis has lost it.
            self._secret = None
            response = await self._send(image, content_type, query)
        if response.is_success:
            answer: dict[str, Any] = response.json()
            return answer
        raise _error_of(response)

    async def _send(self, image: bytes, content_type: str, query: dict[str, Any]) -> httpx.Response:
        if self._secret is None:
            _, key = await self._keys.issue(
                "gateway", SERVICE_SCOPES, kind="service", valid_s=SERVICE_KEY_S
            )
            self._secret = key.secret
        try:
            return await self._client.post(
                "/v1/gallery/search",
                params={name: value for name, value in query.items() if value is not None},
                content=image,
                headers={"Content-Type": content_type, "X-API-Key": self._secret},
            )
        except httpx.TransportError as error:
            raise Unavailable(f"the re-ID service is away: {error}") from error


def _error_of(response: httpx.Response) -> CityBrainError:
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    detail = str(problem.get("detail", f"the re-ID service answered {response.status_code}"))
    code = problem.get("code")
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        return Overloaded(detail, retry_after_s=int(response.headers.get("Retry-After", 1)))
    if response.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
        return Malformed(detail, code=code)
    if response.is_client_error:
        return Invalid(detail, code=code)
    return Unavailable(detail)
