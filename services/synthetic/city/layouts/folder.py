"""The manifest of a data set from the simulated city, written last into its folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.synthetic.city.layouts.order import DatasetSettings
    from services.synthetic.city.plan import CityPlan
    from shared.data_folder import DataFolder


@dataclass(frozen=True)
class Manifest:
    """What a data set holds. sha256: of its listing, which holds that of every file."""

    layout: str
    plan: CityPlan
    settings: DatasetSettings
    counts: dict[str, int]
    files: int
    sha256: str


def close(
    folder: DataFolder,
    layout: str,
    plan: CityPlan,
    settings: DatasetSettings,
    counts: dict[str, int],
) -> Manifest:
    listed = folder.list()
    manifest = Manifest(layout, plan, settings, counts, listed.files, listed.sha256)
    folder.close(json.dumps(asdict(manifest), indent=2) + "\n")
    return manifest
