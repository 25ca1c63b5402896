"""/v1/trainings: any system on any data set. /v1/styles: how the cameras of one see."""

from __future__ import annotations

import asyncio

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
from services.synthetic.catalogue import check_data, check_settings, system_of
from services.synthetic.learning import StyleParams, TrainingParams
from shared.jobs_api import WRITES, Job

router = APIRouter(prefix="/v1", tags=["synthetic"])


@router.post("/trainings", status_code=202, dependencies=[WRITES])
async def create_training(
    request: Request,
    response: Response,
    new: TrainingParams,
    idempotency_key: IdempotencyKey = None,
) -> Job:
    """Trains a system on a data set and puts it into the model store; `Location` tells where to
    watch it. A killed worker's job goes on from its last checkpoint.

    404: `unknown_system`, `unknown_dataset`. 409: `model_exists`, or the key was used for another
    order. 422: `too_few_classes`, `too_few_pictures`, `unknown_class`, `unknown_setting`. 503:
    `not_installed`. Sizes or values that the system cannot take fail the job in its first seconds.
    """
    await _check(request, new, idempotency_key)
    return await order(request, response, "system.train", new, idempotency_key, "trainings")


@router.post("/styles", status_code=202, dependencies=[WRITES])
async def create_style(
    request: Request, response: Response, new: StyleParams, idempotency_key: IdempotencyKey = None
) -> Job:
    """Learns how cameras see from a data set whose classes they are: of kind `persons`, or with a
    folder a camera. Refusals are those of trainings."""
    await _check(request, new.training(), idempotency_key)
    return await order(request, response, "style.learn", new, idempotency_key, "styles")


async def _check(request: Request, new: TrainingParams, key: str | None) -> None:
    check_installed(request)
    if key is not None and await queue_of(request).knows(key):
        return  # The first order has passed; its model may be there by now.
    system = system_of(new.system)
    check_settings(system, new.settings)
    data = await asyncio.to_thread(shelf_of(request).get, new.dataset_id)
    check_data(system, data.manifest, new.classes)
    await asyncio.to_thread(store_of(request).raise_if_taken, new.model)


add_orders(router, "trainings", "system.train")
add_orders(router, "styles", "style.learn")
