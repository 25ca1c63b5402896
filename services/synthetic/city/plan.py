"""What city is wanted: seeds, length, cameras, how busy, and whether anything goes wrong."""

from __future__ import annotations

from dataclasses import dataclass

from shared.errors import Fault, Invalid

MOST_CAMERAS = 8
SEEDS = 2**63
"""So many there are, from 0."""

BOUNDS: dict[str, tuple[float, float]] = {
    "seed": (0, SEEDS - 1),
    "scenery_seed": (0, SEEDS - 1),
    "duration_s": (0.1, 86_400),
    "fps": (0.5, 60),
    "cameras": (1, MOST_CAMERAS),
    "width": (64, 1280),
    "height": (48, 720),
    "people_per_minute": (0, 120),
    "lookalikes": (0, 1),
    "first_anomaly_by_s": (5, 86_400),
    "anomaly_every_s": (1, 86_400),
}
"""Of a plan's fields, both within."""


@dataclass(frozen=True)
class CityPlan:
    """The whole description of a simulated city: the same plan gives the same pixels everywhere.

    seed: people, their routes, traffic and anomalies. scenery_seed: streets, viewpoints and the
    cameras' colours. width, height: pixels of a frame. people_per_minute: new people a minute in
    the whole city. lookalikes: share of people who wear almost what someone else wears.
    first_anomaly_by_s: a vehicle is on some walkway by then. anomaly_every_s: mean time from the
    start of one anomaly to that of the next, anywhere in the city.

    Raises Invalid, with one fault for each field that is out of its bounds.
    """

    seed: int
    duration_s: float
    fps: float = 10.0
    cameras: int = 4
    width: int = 320
    height: int = 240
    people_per_minute: float = 25.0
    lookalikes: float = 0.15
    anomalies: bool = True
    first_anomaly_by_s: float = 20.0
    anomaly_every_s: float = 16.5
    scenery_seed: int = 2
    shadows: bool = True

    def __post_init__(self) -> None:
        faults = tuple(
            Fault(field, "out_of_bounds", f"must be from {low:g} to {high:g}")
            for field, (low, high) in BOUNDS.items()
            if not low <= getattr(self, field) <= high
        )
        if faults:
            names = ", ".join(fault.field for fault in faults)
            raise Invalid(f"the plan of the city cannot be built: {names}", faults=faults)

    @property
    def frames(self) -> int:
        """Frames of each camera."""
        return max(round(self.duration_s * self.fps), 1)
