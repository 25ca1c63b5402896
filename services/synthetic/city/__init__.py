"""CityPlan -> City: simulated street cameras, the people who pass them, and the exact truth."""

from services.synthetic.city.city import City, CityCamera
from services.synthetic.city.plan import CityPlan
from services.synthetic.city.truth import (
    AnomalyInterval,
    AnomalyKind,
    AnomalyTruth,
    FrameTruth,
    PersonTruth,
)

__all__ = [
    "AnomalyInterval",
    "AnomalyKind",
    "AnomalyTruth",
    "City",
    "CityCamera",
    "CityPlan",
    "FrameTruth",
    "PersonTruth",
]
