"""The gateway's calls to the other services."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
from pydantic import BaseModel

from services.gateway.store.keys import SERVICE_SCOPES
from shared.errors import (
    CityBrainError,
    Conflict,
    Denied,
    Invalid,
    Malformed,
    Missing,
    Overloaded,
    Stale,
    Unavailable,
)
from shared.jobs_api import Job
from shared.person_changes import PersonChange, PersonErased

if TYPE_CHECKING:
    from services.gateway.store.keys import Keys
    from shared.person_changes import Why

Form = TypeVar("Form", bound=BaseModel)

SERVICE_KEY_S = 24 * 3600.0

REFUSALS: dict[int, type[CityBrainError]] = {
    httpx.codes.FORBIDDEN: Denied,
    httpx.codes.NOT_FOUND: Missing,
    httpx.codes.CONFLICT: Conflict,
    httpx.codes.PRECONDITION_FAILED: Stale,
    httpx.codes.UNPROCESSABLE_ENTITY: Malformed,
}
"""What a peer refuses our caller for. That a key of ours lacks a scope is no fault of theirs."""


class Peer:
    """Another service, asked with a key of our own. name: what it is called in problems. cure: of
    its being away, where there is one to know."""

    name = "the other service"
    cure = ""

    def __init__(self, client: httpx.AsyncClient, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._secret: str | None = None

    async def close(self) -> None:
        await self._client.aclose()

    async def _ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, **request: Any
    ) -> Any:
        """Its answer. Raises what it refused us for, Unavailable where it is away."""
        response = await self._send(method, path, headers or {}, request)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            # Our key has expired, or Redis has lost it.
            self._secret = None
            response = await self._send(method, path, headers or {}, request)
        if response.is_success:
            return response.json() if response.content else None
        raise self._error_of(response)

    async def _send(
        self, method: str, path: str, headers: dict[str, str], request: dict[str, Any]
    ) -> httpx.Response:
        if self._secret is None:
            _, key = await self._keys.issue(
                "gateway", SERVICE_SCOPES, kind="service", valid_s=SERVICE_KEY_S
            )
            self._secret = key.secret
        try:
            return await self._client.request(
                method, path, headers=headers | {"X-API-Key": self._secret}, **request
            )
        except httpx.TransportError as error:
            raise Unavailable(f"{self.name} is away: {error}{self.cure}") from error

    def _error_of(self, response: httpx.Response) -> CityBrainError:
        try:
            problem = response.json()
        except ValueError:
            problem = {}
        detail = str(problem.get("detail", f"{self.name} answered {response.status_code}"))
        code = problem.get("code")
        refusal = REFUSALS.get(response.status_code)
        if refusal is not None and code != "scope_missing":
            return refusal(detail, code=code)
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            return Overloaded(detail, retry_after_s=int(response.headers.get("Retry-After", 1)))
        if response.is_client_error:
            return Invalid(detail, code=code)
        return Unavailable(detail, code=code)


class ReidPeer(Peer):
    """The re-ID service: searches its gallery by image, and knows who is who.

    Whoever may not see all cameras is asked for with those that they may (`camera_ids`). Besides
    Unavailable, all methods raise what the service refused the request for.
    """

    name = "the re-ID service"

    async def search(
        self, image: bytes, content_type: str, query: dict[str, Any]
    ) -> dict[str, Any]:
        """The gallery's answer to an image."""
        answer: dict[str, Any] = await self._ask(
            "POST",
            "/v1/gallery/search",
            params=_present(query),
            content=image,
            headers={"Content-Type": content_type},
        )
        return answer

    async def change(
        self, path: str, asked: Why, query: dict[str, Any], key: str | None = None
    ) -> PersonChange:
        """What has become of a user's word on who is who. key: the same one makes the same."""
        headers = {} if key is None else {"Idempotency-Key": key}
        request = {"params": _present(query), "json": asked.model_dump(mode="json")}
        return PersonChange.model_validate(await self._ask("POST", path, headers, **request))

    async def read(self, path: str, query: dict[str, Any], form: type[Form]) -> Form:
        """What it knows of the history of persons."""
        return form.model_validate(await self._ask("GET", path, params=_present(query)))

    async def forget(self, person_id: str, camera_ids: list[str] | None) -> PersonErased:
        """What was known of a person, forgotten."""
        query = _present({"camera_ids": camera_ids})
        path = f"/v1/persons/{person_id}"
        return PersonErased.model_validate(await self._ask("DELETE", path, params=query))


def _present(query: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


class TrainingPeer(Peer):
    """The anomaly service that trains: does jobs. All methods raise Unavailable where it is away
    (`not_installed`: where it cannot train, and why)."""

    name = "the service that trains"
    cure = " (in the composition: docker compose --profile training up -d)"

    async def check(self) -> None:
        """Raises Unavailable where no job could be created."""
        await self._ask("GET", "/v1/job-kinds")

    async def create(self, kind: str, params: dict[str, Any], key: str) -> Job:
        """key: the same one makes the same job. Raises Invalid for wrong parameters, Conflict for
        the key of another job."""
        body = {"kind": kind, "params": params}
        headers = {"Idempotency-Key": key}
        return Job.model_validate(await self._ask("POST", "/v1/jobs", headers, json=body))

    async def get(self, job_id: str) -> Job:
        """Raises Missing."""
        return Job.model_validate(await self._ask("GET", f"/v1/jobs/{job_id}"))

    async def cancel(self, job_id: str) -> Job:
        """Raises Missing."""
        return Job.model_validate(await self._ask("DELETE", f"/v1/jobs/{job_id}"))


class AdaptingPeer(TrainingPeer):
    """The re-ID service that trains, and changes the model that serves."""

    name = "the re-ID service that trains"


class StudioPeer(TrainingPeer):
    """The synthetic service that trains, and keeps the data sets."""

    name = "the synthetic service that trains"
    jobs = frozenset({"style.learn", "images.generate"})

    async def check(self) -> None:
        """Raises Unavailable: without PyTorch it has jobs as well, but none of these."""
        kinds = await self._ask("GET", "/v1/job-kinds")
        if not self.jobs <= {kind["kind"] for kind in kinds}:
            raise Unavailable(
                f"{self.name} is installed without PyTorch, so no style can be learnt: install the"
                " extra `train` there (pip install -c constraints.txt -e '.[cpu,train]') and start"
                f" it again, or name another one by STUDIO_URL{self.cure}",
                code="not_installed",
            )

    async def classes(self, dataset_id: str) -> list[str]:
        """Of a data set; of persons they are its cameras. Raises Missing (`unknown_dataset`)."""
        data = await self._ask("GET", f"/v1/datasets/{dataset_id}")
        found: list[str] = data["classes"]
        return found

    async def remove(self, dataset_id: str) -> None:
        """Nothing happens where there is none."""
        with suppress(Missing):
            await self._ask("DELETE", f"/v1/datasets/{dataset_id}")
