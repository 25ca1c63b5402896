"""The systems that can be trained, as systems.json describes them: serving never imports torch.

The file is written by `python -m services.synthetic.training list --json >
services/synthetic/systems.json`, and a test holds it against the registry.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from shared.errors import Malformed, Missing

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shared.made_data import MadeManifest

FILE = Path(__file__).with_name("systems.json")

LEAST_PICTURES, LEAST_CLASSES = 2, 2
OF_DATA = frozenset({"channels", "height", "width", "classes"})
"""Settings that the data decide."""


class SystemAbout(BaseModel):
    """needs: what of a batch it learns from: all but `images` take pictures of several classes.
    settings: its defaults. parameters: their JSON schema."""

    name: str
    paper: str
    needs: list[str]
    settings: dict[str, Any]
    parameters: dict[str, Any]

    @property
    def needs_classes(self) -> bool:
        return self.needs != ["images"]


@cache
def systems() -> dict[str, SystemAbout]:
    """By name. Not to be written to."""
    return {
        name: SystemAbout(
            name=name,
            paper=about["paper"],
            needs=about["needs"],
            settings=about["settings"],
            parameters=about["schema"],
        )
        for name, about in json.loads(FILE.read_text()).items()
    }


def system_of(name: str) -> SystemAbout:
    """Raises Missing (`unknown_system`)."""
    if name not in systems():
        raise Missing(
            f"no system {name!r}; there are {', '.join(systems())}", code="unknown_system"
        )
    return systems()[name]


def check_settings(system: SystemAbout, settings: Iterable[str]) -> None:
    """Raises Malformed (`unknown_setting`)."""
    known = sorted(system.settings.keys() - OF_DATA)
    if unknown := sorted(set(settings) - set(known)):
        raise Malformed(
            f"{system.name} has no setting {', '.join(unknown)} to choose; it has"
            f" {', '.join(known)}",
            code="unknown_setting",
        )


def check_data(system: SystemAbout, manifest: MadeManifest, classes: tuple[str, ...]) -> None:
    """Raises Malformed (`unknown_class`, `too_few_pictures`, `too_few_classes`) where the system
    cannot learn from so much: hours later would be too late to say so."""
    if unknown := [name for name in classes if name not in manifest.classes]:
        raise Malformed(
            f"{manifest.name} has no class {', '.join(unknown)}; it has"
            f" {', '.join(manifest.classes) or 'none'}",
            code="unknown_class",
        )
    if manifest.counts.get("pictures", LEAST_PICTURES) < LEAST_PICTURES:
        raise Malformed(f"{manifest.name} has but one picture", code="too_few_pictures")
    known = classes or manifest.classes
    if system.needs_classes and len(known) < LEAST_CLASSES:
        raise Malformed(
            f"{system.name} needs pictures of {LEAST_CLASSES} classes or more; {manifest.name} has"
            f" {len(known)}",
            code="too_few_classes",
        )
