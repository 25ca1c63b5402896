"""All systems by name, and their settings made of words."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from pydantic import TypeAdapter, ValidationError

from services.synthetic.models.camstyle import CamStyle
from services.synthetic.models.gan import Gan, GanSettings
from services.synthetic.models.ptgan import PtGan, PtGanSettings
from services.synthetic.models.saae import Saae, SaaeSettings
from services.synthetic.models.spgan import SpGan, SpGanSettings
from services.synthetic.models.stargan import StarGan, StarGanSettings
from services.synthetic.models.translation import TranslationSettings
from shared.errors import Malformed, Missing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from services.synthetic.models.system import System
    from services.synthetic.training.pictures import Pictures


class Entry(NamedTuple):
    """A system, and the frozen dataclass that it is built of."""

    system: type[System]
    settings: type[Any]
    build: Callable[[Any], System]

    def settings_of(self, changes: Mapping[str, Any]) -> Any:
        """The defaults but for some fields, which may be words.

        Raises Malformed (`unknown_setting`, `bad_setting`).
        """
        known = [field.name for field in fields(self.settings)]
        if unknown := [name for name in changes if name not in known]:
            raise Malformed(
                f"{self.system.NAME} has no setting {', '.join(unknown)}; it has"
                f" {', '.join(known)}",
                code="unknown_setting",
            )
        try:
            return TypeAdapter(self.settings).validate_python(dict(changes))
        except ValidationError as error:
            said = "; ".join(f"{one['loc'][0]}: {one['msg']}" for one in error.errors())
            raise Malformed(f"{self.system.NAME}: {said}", code="bad_setting") from error

    def built(self, chosen: Any) -> System:
        """As `build`, but that whoever cannot make pictures of the size that was chosen is told:
        within a training it would be a riddle. Raises Malformed (`bad_size`)."""
        system = self.build(chosen)
        made: tuple[int, ...] = ()
        with suppress(RuntimeError), torch.no_grad():
            made = tuple(system.eval().maker(*system.example(2, torch.Generator()).values()).shape)
        if made[1:] != (chosen.channels, chosen.height, chosen.width):
            raise Malformed(
                f"{self.system.NAME} cannot make pictures of {chosen.width}x{chosen.height}: ask"
                " for a height and a width that are multiples of 8, which suit every system",
                code="bad_size",
            )
        return system

    @property
    def defaults(self) -> dict[str, Any]:
        return asdict(self.settings())

    @property
    def about(self) -> dict[str, Any]:
        """For whoever asks which systems there are."""
        return {
            "paper": self.system.PAPER,
            "needs": sorted(self.system.NEEDS),
            "settings": self.defaults,
            "schema": TypeAdapter(self.settings).json_schema(),
        }


SYSTEMS: dict[str, Entry] = {
    Gan.NAME: Entry(Gan, GanSettings, Gan),
    Saae.NAME: Entry(Saae, SaaeSettings, Saae),
    CamStyle.NAME: Entry(CamStyle, TranslationSettings, CamStyle),
    StarGan.NAME: Entry(StarGan, StarGanSettings, StarGan),
    PtGan.NAME: Entry(PtGan, PtGanSettings, PtGan),
    SpGan.NAME: Entry(SpGan, SpGanSettings, SpGan),
}


def entry_of(name: str) -> Entry:
    """Raises Missing (`unknown_system`) for a name that no system has."""
    if name not in SYSTEMS:
        raise Missing(f"no system {name!r}; there are {', '.join(SYSTEMS)}", code="unknown_system")
    return SYSTEMS[name]


def decided_by(pictures: Pictures, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the data decide."""
    _, channels, height, width = pictures.images.shape
    told = {
        "channels": channels,
        "height": height,
        "width": width,
        "classes": len(pictures.classes),
    }
    return {name: value for name, value in told.items() if name in defaults}
