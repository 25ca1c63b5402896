"""Presences at a site -> the layers, the frame and the truth of one moment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from services.synthetic.city.drawing.shadow import shadow_of
from services.synthetic.city.drawing.solid import draw_solid
from services.synthetic.city.people.figure import draw_figure
from services.synthetic.city.people.tailor import Costume, dressed
from services.synthetic.city.presence import Body, Presence
from services.synthetic.city.stage import Layer, Stage
from services.synthetic.city.truth import AnomalyTruth, FrameTruth, PersonTruth
from shared.messages import Box

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.synthetic.city.drawing.sprite import Ink, Sprite
    from services.synthetic.city.people.wardrobe import Appearance
    from shared.images import Pixels


WARDROBE = 256
"""Costumes that are kept ready."""


class Cast:
    """Everybody's costume, and its colours as each camera sees them."""

    def __init__(self, people: Sequence[Appearance]) -> None:
        """people: in the order of their ids, from 1."""
        self._people = people
        # Bounded, for a city that runs for hours sees thousands of people, each for a minute.
        self.costume = lru_cache(maxsize=WARDROBE)(self._costume)
        self.inks = lru_cache(maxsize=4 * WARDROBE)(self._inks)

    def _costume(self, person_id: int) -> Costume:
        return dressed(self._people[person_id - 1])

    def _inks(self, person_id: int, stage: Stage) -> list[Ink]:
        developed = np.clip(stage.response.develop(self.costume(person_id).colours), 0, 255)
        return [(red, green, blue, 255.0) for red, green, blue in developed.tolist()]


@dataclass(frozen=True)
class Scene:
    """One moment at one site, drawn but not yet photographed. arranged: far to near."""

    stage: Stage
    time_s: float
    arranged: tuple[Layer, ...]
    shadows: tuple[Sprite, ...]

    @classmethod
    def drawn(
        cls,
        stage: Stage,
        cast: Cast,
        presences: Sequence[Presence],
        time_s: float,
        *,
        shadows: bool = True,
    ) -> Scene:
        near = [
            presence for presence in presences if stage.may_see(presence.stance, _reach(presence))
        ]
        layers = [_layer(stage, cast, presence) for presence in near]
        return cls(
            stage,
            time_s,
            tuple(stage.arranged(layers, time_s)),
            tuple(shadow_of(it, stage.camera) for it in near) if shadows else (),
        )

    def frame(self, index: int) -> Pixels:
        """(H, W, 3) RGB. index: of the frame; it chooses the noise."""
        return self.stage.photograph(self.shadows, self.arranged, self.time_s, index)

    def truth(self) -> FrameTruth:
        """Boxes inside the frame, and how much of each presence is not hidden."""
        people: list[PersonTruth] = []
        anomalies: list[AnomalyTruth] = []
        for layer, visible in zip(self.arranged, self._visible_pixels(), strict=True):
            presence, box = layer.presence, self._box(layer.sprite)
            if presence is None or box is None:
                continue
            fraction = visible / int(np.count_nonzero(layer.sprite.solid))
            if isinstance(presence, Body):
                people.append(PersonTruth(presence.person_id, box, fraction))
            if presence.anomaly is not None:
                anomalies.append(AnomalyTruth(presence.anomaly, box, fraction))
        return FrameTruth(
            tuple(sorted(people, key=lambda person: person.person_id)), tuple(anomalies)
        )

    def _box(self, sprite: Sprite) -> Box | None:
        extent = sprite.extent(self.stage.camera.width, self.stage.camera.height)
        if extent is None:
            return None
        return Box(x=extent.x, y=extent.y, width=extent.width, height=extent.height)

    def _visible_pixels(self) -> list[int]:
        """For each layer: how many of its pixels end up on top."""
        height, width = self.stage.camera.height, self.stage.camera.width
        owner = np.zeros((height, width), np.int32)
        for n, layer in enumerate(self.arranged):
            at, of = layer.sprite.within(width, height)
            owner[at][layer.sprite.solid[of]] = n + 1
        counts: list[int] = np.bincount(owner.ravel(), minlength=len(self.arranged) + 1).tolist()
        return counts[1:]


def _reach(presence: Presence) -> float:
    """Metres from a presence's middle within which all of it lies."""
    if isinstance(presence, Body):
        return 0.85 + presence.posture.fallen
    return 0.6 * presence.length_m + 1.0


def _layer(stage: Stage, cast: Cast, presence: Presence) -> Layer:
    camera, stance = stage.camera, presence.stance
    if isinstance(presence, Body):
        sprite = draw_figure(
            cast.costume(presence.person_id),
            cast.inks(presence.person_id, stage),
            presence.posture.joints(),
            stance,
            camera,
        )
    else:
        sprite = draw_solid(presence.solid, stance, camera, stage.palette)
    _, _, depth_m = camera.sight(stance.u, stance.v, 0.0)
    wide = not isinstance(presence, Body)
    return Layer(sprite, stance.v, depth_m, wide=wide, presence=presence)
