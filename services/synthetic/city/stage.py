"""A street, a camera and its response -> an empty stage, and layers of sprites -> a frame."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from services.synthetic.city.chance import stream
from services.synthetic.city.drawing.response import Grain, Response
from services.synthetic.city.drawing.solid import draw_solid
from services.synthetic.city.drawing.sprite import Ink, Rgb, Sprite, paint_all
from services.synthetic.city.drawing.stance import Stance
from services.synthetic.city.scenery.backdrop import render_backdrop
from services.synthetic.city.scenery.block import STRETCH_M
from services.synthetic.city.scenery.foliage import PLANTS, SWAY_STEPS
from services.synthetic.city.scenery.furniture import FURNITURE, neon
from services.synthetic.city.scenery.neighbourhood import street
from services.synthetic.city.scenery.street import WALKWAY_HALF_M, PropKind, View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from services.synthetic.city.drawing.pinhole import Pinhole
    from services.synthetic.city.presence import Presence
    from services.synthetic.city.scenery.street import Prop, Street
    from shared.images import Pixels

NEAREST_SEEN_M = 2.0
"""Nothing that moves comes nearer to a lens than this."""


LANE_HALF_M, VEHICLE_M = 1.3, 2.6
"""Half the width of a lane, and the height of the tallest vehicle."""

ROAD_POINTS = 17
"""Columns at which the road's edges are followed: they are cut off at the frame's border."""

MOVING = {*PLANTS, PropKind.SIGN}


class Layer(NamedTuple):
    """A sprite and where it belongs: things at greater v lie behind."""

    sprite: Sprite
    v: float
    depth_m: float
    wide: bool
    """It is long, so that only v tells what is before and what behind it."""
    still: bool = False
    """It never moves, and is part of the backdrop."""
    presence: Presence | None = None
    """What was drawn; None for scenery."""

    def touches(self, other: Sprite) -> bool:
        """Whether the two patches share pixels of the frame, drawn or not."""
        rows, columns = self.sprite.coverage.shape
        height, width = other.coverage.shape
        return (
            self.sprite.x < other.x + width
            and other.x < self.sprite.x + columns
            and self.sprite.y < other.y + height
            and other.y < self.sprite.y + rows
        )


class Palette:
    """True colours -> the camera's, each worked out once."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self._known: dict[Rgb, Ink] = {}

    def __call__(self, colour: Rgb) -> Ink:
        known = self._known.get(colour)
        if known is None:
            red, green, blue = np.clip(
                self._response.develop(np.array(colour, np.float64)), 0, 255
            ).tolist()
            known = self._known[colour] = (red, green, blue, 255.0)
        return known


@dataclass(frozen=True)
class Loop:
    """A harmless motion that comes again: leaves in the wind, a sign that flickers."""

    v: float
    period_s: float
    sprites: tuple[Sprite, ...]

    def layer_at(self, time_s: float) -> Layer:
        step = int(time_s / self.period_s * len(self.sprites)) % len(self.sprites)
        return Layer(self.sprites[step], self.v, 0.0, wide=True)


class Stage:
    """What a camera sees when nobody is there, at any time."""

    def __init__(self, place: Street, camera: Pinhole, scenery_seed: int, n: int) -> None:
        self.street = place
        self.camera = camera
        self.response = Response.of(stream(scenery_seed, "response", n))
        self.palette = Palette(self.response)
        rng = stream(scenery_seed, "backdrop", n)
        scene = render_backdrop(place, camera, rng)
        self._backdrop: Pixels = np.clip(self.response.develop(scene), 0, 255).astype(np.uint8)
        falloff = self.response.falloff(camera.width, camera.height)
        self._falloff: Pixels = np.rint(falloff * 255).astype(np.uint8)[..., None].repeat(3, axis=2)
        self._grain = Grain(
            stream(scenery_seed, "grain", n), self.response.noise, camera.width, camera.height
        )
        self._still = [self._standing(prop) for prop in place.props if prop.kind in FURNITURE]
        moving = [self._moving(rng, prop) for prop in place.props if prop.kind in MOVING]
        self._loops = [loop for loop in moving if any(it.coverage.size for it in loop.sprites)]
        paint_all(self._backdrop, [layer.sprite for layer in in_order(self._still)])

    def _standing(self, prop: Prop) -> Layer:
        stance = Stance(prop.u, prop.v, 0.0)
        sprite = draw_solid(FURNITURE[prop.kind], stance, self.camera, self.palette)
        return Layer(sprite, prop.v, 0.0, wide=True, still=True)

    def _moving(self, rng: np.random.Generator, prop: Prop) -> Loop:
        if prop.kind is PropKind.SIGN:
            stance = Stance(prop.u, prop.v, 0.0)
            sprites = [draw_solid(it, stance, self.camera, self.palette) for it in neon(rng)]
            period_s = float(rng.uniform(2.0, 3.0))
        else:
            plant = PLANTS[prop.kind](rng, prop.u, prop.v, prop.size)
            sprites = [plant.draw(self.camera, self.palette, step) for step in range(SWAY_STEPS)]
            period_s = float(rng.uniform(3.0, 5.0))
        size = self.camera.width, self.camera.height
        return Loop(prop.v, period_s, tuple(sprite.cropped(*size) for sprite in sprites))

    def may_see(self, stance: Stance, reach_m: float) -> bool:
        """False only where a thing of that reach is wholly beside the frame or behind the lens.

        reach_m: from a point at 0.9 m above the stance to the thing's farthest side.
        """
        x, y, depth_m = self.camera.sight(stance.u, stance.v, 0.9)
        if depth_m < NEAREST_SEEN_M:
            return False
        reach_px = reach_m * self.camera.focal_px / depth_m
        width, height = self.camera.width, self.camera.height
        above_px = max(reach_px, 1.1 / reach_m * reach_px)
        return -reach_px < x < width + reach_px and -above_px < y < height + above_px

    @cached_property
    def view(self) -> View:
        """Where the walkway is in view, in any lane, from foot to head."""
        seen = [
            u
            for u in np.arange(-STRETCH_M / 2, STRETCH_M / 2, 0.1).tolist()
            for v in (-WALKWAY_HALF_M, 0.0, WALKWAY_HALF_M)
            if self._shows_someone_at(u, v)
        ]
        return View((min(seen), max(seen)), self.street.stream)

    @cached_property
    def road(self) -> tuple[tuple[float, float], ...]:
        """The polygon, in fractions of the frame, in which vehicles pass that may; empty where
        there is none. From the near kerb up to the roofs of what passes on the far lane."""
        lanes = [lane.v for lane in self.street.lanes]
        if not lanes:
            return ()
        columns = np.linspace(0.0, 1.0, ROAD_POINTS)
        near = self._edge(columns, min(lanes) - LANE_HALF_M, 0.0)
        far = self._edge(columns, max(lanes) + LANE_HALF_M, VEHICLE_M)
        outline = [*zip(columns, near, strict=True), *zip(columns[::-1], far[::-1], strict=True)]
        return tuple((float(x), float(y)) for x, y in outline) if (near > far).any() else ()

    def _edge(self, columns: NDArray[np.float64], v: float, z: float) -> NDArray[np.float64]:
        """Heights in the frame, 0 to 1, at which a line along the street crosses the columns."""
        camera = self.camera
        along = np.arange(-STRETCH_M / 2, STRETCH_M / 2, 1.0)
        seen = [camera.sight(u, v, z) for u in along.tolist()]
        ahead = [(x, y) for x, y, depth_m in seen if depth_m > NEAREST_SEEN_M]
        (x0, y0), (x1, y1) = min(ahead), max(ahead)
        heights = y0 + (columns * camera.width - x0) * (y1 - y0) / (x1 - x0)
        return np.clip(heights / camera.height, 0.0, 1.0)

    def _shows_someone_at(self, u: float, v: float) -> bool:
        x0, y0, _ = self.camera.sight(u, v, 0.0)
        x1, y1, _ = self.camera.sight(u, v, 1.8)
        beside = max(x0, x1) < 0 or min(x0, x1) > self.camera.width
        return not beside and max(y0, y1) > 0 and min(y0, y1) < self.camera.height

    def arranged(self, actors: Sequence[Layer], time_s: float) -> list[Layer]:
        """The actors among what stands and grows there, far to near."""
        return in_order([*self._still, *(loop.layer_at(time_s) for loop in self._loops), *actors])

    def photograph(
        self, shadows: Sequence[Sprite], arranged: Sequence[Layer], time_s: float, index: int
    ) -> Pixels:
        """The frame (H, W, 3) of that time. index: of the frame; it chooses the noise."""
        frame = self._backdrop.copy()
        paint_all(frame, shadows)
        painted = list(shadows)
        for layer in arranged:
            # What stands still is painted again only where it must hide something.
            if not layer.still or any(layer.touches(sprite) for sprite in painted):
                layer.sprite.paint(frame)
                painted.append(layer.sprite)
        light = self.response.light_at(time_s) / 255
        cv2.multiply(frame, self._falloff, dst=frame, scale=light)
        self._grain.strew(frame, index)
        return frame


def in_order(layers: Sequence[Layer]) -> list[Layer]:
    """Far to near. Wide layers part the scene into bands by their v; within a band depth decides.

    All lines of sight run towards greater v, so what has the smaller v is in front wherever two
    things with separate ranges of v overlap; depth is finer for things as narrow as people.
    """
    bands = sorted(layer.v for layer in layers if layer.wide)

    def remoteness(layer: Layer) -> tuple[float, float]:
        band = bisect_left(bands, layer.v) + (0.5 if layer.wide else 0.0)
        return -band, -layer.depth_m

    return sorted(layers, key=remoteness)


@lru_cache(maxsize=16)
def stage(scenery_seed: int, n: int, width: int, height: int) -> Stage:
    """The stage of a city's n-th camera, from 0. Kept, for cities with other people on the same
    streets are often built one after another, and a backdrop takes half a second."""
    place = street(scenery_seed, n)
    return Stage(place, place.viewpoint.camera(width, height), scenery_seed, n)
