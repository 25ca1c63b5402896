"""The networks of the anomaly service, one paper per file."""

from __future__ import annotations

from services.anomaly.models.stae import Stae

NETWORKS = {"stae": Stae}
