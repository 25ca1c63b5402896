"""One training for each made data set and seed, kept on disk: what `uplift` compares.

A comparison takes hours on a CPU; what is done is not done again, and several processes may share
the work, each with arms of its own. Beside an arm's results stands the digest of what it learns
from: a data set that was made anew under its old name is another one.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from services.reid.core.evaluation import Ranking
from services.reid.training.ground import CENTRED, PLAIN
from services.reid.training.trainer import Device, Trainer
from shared.durable_file import write_durably
from shared.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from services.reid.training.ground import Ground
    from services.reid.training.made import MadeCrops
    from services.reid.training.schedule import Progress
    from services.reid.training.settings import TrainingSettings

SETTING = "setting.json"
FIELDS = ("people", "first", "precisions", "trapezoids")


@dataclass(frozen=True)
class Arms:
    """folder: where rankings are kept. setting: what all arms have in common, as JSON has it.

    Raises Conflict (`other_settings`) where the folder holds another comparison.
    """

    folder: Path
    setting: Mapping[str, Any]

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path, text = self.folder / SETTING, json.dumps(self.setting, indent=2, sort_keys=True)
        if path.exists() and path.read_text() != text:
            raise Conflict(
                f"{path} is of another comparison; name another folder", code="other_settings"
            )
        write_durably(path, text.encode())

    def tell(self, arm: str, digest: str) -> None:
        """digest: of the arm's data set. Results that stand without one are taken to be of it.

        Raises Conflict (`other_data_set`) where the folder holds results of another one.
        """
        path = self.folder / f"{arm}.sha256"
        if not path.exists():
            write_durably(path, digest.encode())
        elif path.read_text() != digest:
            raise Conflict(
                f"the results of {arm} in {self.folder} are of another data set of this name; name"
                f" another folder, or delete {path.name} and {arm}-*.npz there",
                code="other_data_set",
            )

    def has(self, arm: str, seed: int) -> bool:
        return self._path(arm, seed).is_file()

    def run(
        self,
        arm: str,
        ground: Ground,
        made: MadeCrops | None,
        settings: TrainingSettings,
        report: Callable[[Progress], None],
    ) -> None:
        """Trains with the settings' seed and keeps what it achieves."""
        trainer = Trainer(ground.train, settings, Device.best(), made)
        checkpoint = self.folder / f"{arm}-{settings.seed}.pt"
        if checkpoint.is_file():
            trainer.resume(checkpoint)
        trainer.run(checkpoint, report)
        self._keep(arm, settings.seed, ground.rankings(trainer))
        checkpoint.unlink()

    def rankings(self, arm: str, seeds: Sequence[int]) -> dict[str, list[Ranking]]:
        """`plain` and `centred`, one for each seed."""
        return {way: [self._read(arm, seed, way) for seed in seeds] for way in (PLAIN, CENTRED)}

    def _keep(self, arm: str, seed: int, found: Mapping[str, Ranking]) -> None:
        arrays = {
            f"{way}_{name}": getattr(ranking, name)
            for way, ranking in found.items()
            for name in (*FIELDS, "gallery")
        }
        body = io.BytesIO()
        np.savez(body, **arrays)
        write_durably(self._path(arm, seed), body.getvalue())

    def _read(self, arm: str, seed: int, way: str) -> Ranking:
        with np.load(self._path(arm, seed)) as arrays:
            fields = {name: arrays[f"{way}_{name}"] for name in FIELDS}
            return Ranking(**fields, gallery=int(arrays[f"{way}_gallery"]))

    def _path(self, arm: str, seed: int) -> Path:
        return self.folder / f"{arm}-{seed}.npz"


def settings_of(
    recipe: TrainingSettings, epochs: int, shrink: int, share: float
) -> TrainingSettings:
    """A recipe at one size, for as short as a comparison can be paid for."""
    (first, *_) = recipe.stages
    stage = replace(first, epochs=epochs, shrink=shrink)
    return replace(recipe, stages=(stage,), made_share=share)
