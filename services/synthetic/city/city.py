"""A plan -> the frames of every camera and the truth about them, in any order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from services.synthetic.city.anomalies.script import script
from services.synthetic.city.chance import stream
from services.synthetic.city.people.walkers import Walkers, departures
from services.synthetic.city.people.wardrobe import Wardrobe
from services.synthetic.city.scene import Cast, Scene
from services.synthetic.city.scenery.block import Block
from services.synthetic.city.scenery.traffic import Traffic
from services.synthetic.city.stage import stage
from services.synthetic.city.truth import AnomalyInterval
from shared.errors import Missing

if TYPE_CHECKING:
    from services.synthetic.city.anomalies.cue import Anomaly
    from services.synthetic.city.people.wardrobe import Appearance
    from services.synthetic.city.plan import CityPlan
    from services.synthetic.city.presence import Presence
    from services.synthetic.city.scenery.street import Site, Viewpoint
    from services.synthetic.city.truth import FrameTruth
    from shared.images import Pixels

SCENES_KEPT = 16
"""Drawn scenes that are kept, so that a frame and its truth cost one drawing."""


@dataclass(frozen=True)
class CityCamera:
    """A camera on its pole. position: x, y, z metres in the city. view_deg: the direction in which
    it looks on the map, counter-clockwise from +x. road: where vehicles pass that may, as a polygon
    in fractions of the frame; empty where there is none."""

    id: str
    name: str
    name_zh: str
    site: Site
    position: tuple[float, float, float]
    view_deg: float
    viewpoint: Viewpoint
    road: tuple[tuple[float, float], ...]


class City:
    """The simulated city. Everything follows from the plan; asking changes nothing."""

    def __init__(self, plan: CityPlan) -> None:
        self.plan = plan
        self._block = Block(plan.cameras)
        self._stages = [
            stage(plan.scenery_seed, n, plan.width, plan.height) for n in range(plan.cameras)
        ]
        strangers = len(departures(plan))
        self._script = script(plan, self._stages, first_id=strangers + 1)
        self.people = _crowd(plan, strangers + sum(anomaly.actors for anomaly in self._script))
        self._walkers = Walkers(plan, self._block, [person.height_m for person in self.people])
        self._traffic = [Traffic(plan, it.street, n) for n, it in enumerate(self._stages)]
        self._cast = Cast(self.people)
        self._scene = lru_cache(maxsize=SCENES_KEPT)(self._draw)
        self._site_of = {f"city-{n + 1}": n for n in range(plan.cameras)}

    @property
    def frames(self) -> int:
        """Frames of each camera; their indices run from 0."""
        return self.plan.frames

    @cached_property
    def cameras(self) -> tuple[CityCamera, ...]:
        return tuple(self._camera(camera_id, site) for camera_id, site in self._site_of.items())

    def camera(self, camera_id: str) -> CityCamera:
        """Raises Missing for an unknown camera."""
        known = {camera.id: camera for camera in self.cameras}
        if camera_id not in known:
            raise self._unknown(camera_id)
        return known[camera_id]

    def time_s(self, index: int) -> float:
        """Seconds from the city's start to a frame."""
        return index / self.plan.fps

    def frame(self, camera_id: str, index: int) -> Pixels:
        """(H, W, 3) RGB. Raises Missing for an unknown camera or a frame outside the plan."""
        return self._checked(camera_id, index).frame(index)

    def truth(self, camera_id: str, index: int) -> FrameTruth:
        """Who and what that frame shows. Raises Missing as `frame` does."""
        return self._checked(camera_id, index).truth()

    @cached_property
    def anomalies(self) -> tuple[AnomalyInterval, ...]:
        """By start. Anomalies that no frame shows are left out."""
        found = [self._interval(anomaly) for anomaly in self._script]
        return tuple(sorted((it for it in found if it), key=lambda it: it.start_s))

    def _checked(self, camera_id: str, index: int) -> Scene:
        if camera_id not in self._site_of:
            raise self._unknown(camera_id)
        if not 0 <= index < self.frames:
            raise Missing(
                f"frame {index} is not among the {self.frames} of the plan", code="unknown_frame"
            )
        return self._scene(self._site_of[camera_id], index)

    def _unknown(self, camera_id: str) -> Missing:
        return Missing(
            f"the city has no camera {camera_id!r}; it has {', '.join(self._site_of)}",
            code="unknown_camera",
        )

    def _draw(self, site: int, index: int) -> Scene:
        return Scene.drawn(
            self._stages[site],
            self._cast,
            self._presences(site, self.time_s(index)),
            self.time_s(index),
            shadows=self.plan.shadows,
        )

    def _presences(self, site: int, time_s: float) -> list[Presence]:
        playing = [
            it for it in self._script if it.cue.site == site and it.begin_s <= time_s <= it.end_s
        ]
        obstacles = [obstacle for it in playing for obstacle in it.obstacles(time_s)]
        return [
            *self._walkers.at(site, time_s, self._stages[site].view, obstacles),
            *self._traffic[site].at(time_s),
            *(presence for it in playing for presence in it.presences(time_s)),
        ]

    def _interval(self, anomaly: Anomaly) -> AnomalyInterval | None:
        """Searched from both ends, so that only few frames are drawn."""
        first = max(int(anomaly.begin_s * self.plan.fps), 0)
        last = min(int(anomaly.end_s * self.plan.fps) + 1, self.frames - 1)
        frames = range(first, last + 1)
        start = next((n for n in frames if self._shows(anomaly, n)), None)
        if start is None:
            return None
        end = next(n for n in reversed(frames) if self._shows(anomaly, n))
        camera_id = self.cameras[anomaly.cue.site].id
        return AnomalyInterval(camera_id, anomaly.kind, self.time_s(start), self.time_s(end))

    def _shows(self, anomaly: Anomaly, index: int) -> bool:
        if all(it.anomaly is None for it in anomaly.presences(self.time_s(index))):
            return False
        return any(
            seen.kind is anomaly.kind and seen.visible_fraction > 0
            for seen in self._scene(anomaly.cue.site, index).truth().anomalies
        )

    def _camera(self, camera_id: str, site: int) -> CityCamera:
        street, camera = self._stages[site].street, self._stages[site].camera
        u, v, z = camera.position
        x, y, u_deg = self._block.place(site, street.stream, u, v)
        view_deg = (u_deg + 90.0 - street.viewpoint.yaw_deg) % 360
        return CityCamera(
            camera_id,
            street.name,
            street.name_zh,
            street.site,
            (x, y, z),
            view_deg,
            street.viewpoint,
            self._stages[site].road,
        )


def _crowd(plan: CityPlan, people: int) -> tuple[Appearance, ...]:
    rng = stream(plan.seed, "people")
    wardrobe = Wardrobe(lookalikes=plan.lookalikes)
    dressed: list[Appearance] = []
    for _ in range(people):
        dressed.append(wardrobe.dress(rng, dressed))
    return tuple(dressed)
