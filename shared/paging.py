"""Rows -> pages with a cursor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from pydantic import BaseModel

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
