"""Rows, the newest first -> pages with a cursor."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import BaseModel

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import InstrumentedAttribute

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """A page of a list. `next_cursor` fetches the next one; it is absent on the last."""

    items: list[T]
    next_cursor: str | None = None

    @classmethod
    def of(cls, found: list[T], limit: int, *, key: Callable[[T], str]) -> Page[T]:
        """A page of at most `limit` of what was found by asking for one more than that."""
        items = found[:limit]
        more = len(found) > limit
        return cls(items=items, next_cursor=key(items[-1]) if more else None)


async def newest(
    session: AsyncSession,
    query: Select[T],
    key: InstrumentedAttribute[str],
    limit: int,
    before: str | None,
) -> list[T]:
    """What a query finds, the newest first, from behind `before`. key: ids that tell when."""
    if before is not None:
        query = query.where(key < before)
    return list(await session.scalars(query.order_by(key.desc()).limit(limit)))
