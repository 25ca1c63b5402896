"""Vital signs of a process -> whether it is ready, and why not."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class Vital:
    """One thing that must be well for the service to be ready.

    It is ailing until it is first reported well, so that nothing is ready by default.
    """

    name: str
    reason: str | None = "starting"
    since: float = field(default_factory=time.time)

    def well(self) -> None:
        self._set(None)

    def ailing(self, reason: str) -> None:
        self._set(reason)

    def _set(self, reason: str | None) -> None:
        if (reason is None) != (self.reason is None):
            self.since = time.time()
        self.reason = reason


class Health:
    """The vitals of one service."""

    def __init__(self) -> None:
        self._vitals: dict[str, Vital] = {}

    def vital(self, name: str) -> Vital:
        return self._vitals.setdefault(name, Vital(name))

    @property
    def is_ready(self) -> bool:
        return all(vital.reason is None for vital in self._vitals.values())

    @property
    def reasons(self) -> dict[str, str]:
        return {v.name: v.reason for v in self._vitals.values() if v.reason is not None}
