"""/v1/generations: a stored model -> a made data set."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response

from services.synthetic.api.orders import (
    IdempotencyKey,
    add_orders,
    check_installed,
    order,
    queue_of,
    shelf_of,
    store_of,
)
from services.synthetic.generating import LEAST_MEASURED, GenerationParams, check_extractor
from shared.errors import Malformed, Missing
from shared.jobs_api import WRITES, Job

if TYPE_CHECKING:
    from services.synthetic.shelf import Shelf
    from shared.made_data import MadeManifest
    from shared.model_store import ModelCard, ModelStore

router = APIRouter(prefix="/v1", tags=["synthetic"])


@router.post("/generations", status_code=202, dependencies=[WRITES])
async def create_generation(
    request: Request,
    response: Response,
    new: GenerationParams,
    idempotency_key: IdempotencyKey = None,
) -> Job:
    """Makes a data set by a stored model; its result names the data set, whose id is the job's.
    The same seed makes the same pictures, and each of them is marked as made.

    404: `unknown_model`, `unknown_dataset`. 422: `makes_nothing`, `pictures_needed`,
    `no_extractor`, `too_few_pictures`. 503: `not_installed`.
    """
    check_installed(request)
    if idempotency_key is None or not await queue_of(request).knows(idempotency_key):
        await asyncio.to_thread(_check, new, store_of(request), shelf_of(request))
    return await order(request, response, "images.generate", new, idempotency_key, "generations")


def _check(new: GenerationParams, store: ModelStore, shelf: Shelf) -> None:
    if new.model not in store.names:
        raise Missing(f"no model {new.model!r} in the store", code="unknown_model")
    inputs = store.card(new.model).settings.get("inputs")
    if inputs is None:
        raise Malformed(f"model {new.model} makes no images", code="makes_nothing")
    if new.dataset_id is not None:
        source = shelf.get(new.dataset_id).manifest
        if new.extractor is not None:
            _check_measurable(new, store.card(new.extractor), source)
    elif inputs != ["noise"]:
        raise Malformed(
            f"{new.model} is given {', '.join(inputs)}: name a data set by `dataset_id`",
            code="pictures_needed",
        )


def _check_measurable(new: GenerationParams, extractor: ModelCard, source: MadeManifest) -> None:
    """Of the data set alone: the job looks at the cameras that are asked for, too."""
    check_extractor(extractor)
    if min(new.n, source.counts.get("pictures", new.n)) < LEAST_MEASURED:
        raise Malformed(
            f"{LEAST_MEASURED} pictures of each side are the least to be measured",
            code="too_few_pictures",
        )


add_orders(router, "generations", "images.generate")
