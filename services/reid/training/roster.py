"""A labelled data set -> the people to learn from, and those who are only asked for.

Who is held out is a matter of their number and the share alone, and a smaller share's people are
among a larger one's: every training on a data set, and on what it grows to, holds out the same
people, and a contest asks for those of them whom the model that serves was not taught either.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from services.reid.training.crops import of_market_names
from services.reid.training.pixels import LabelledPixels, labelled_pixels
from shared.errors import Conflict, Malformed
from shared.made_data import DataKind, MadeData

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from services.reid.training.crops import Crop

LEAST_PEOPLE = 8
"""Whom two cameras saw: to learn from fewer is to learn them by heart, and a contest on fewer
decides nothing."""


@dataclass(frozen=True, eq=False)
class Roster:
    """A data set of people, divided. share: of them, about, who are asked for."""

    data: MadeData
    learnt: LabelledPixels
    held_out: LabelledPixels
    share: float

    @classmethod
    def read(cls, folder: Path, share: float, known_but: float = 1.0) -> Self:
        """share: of the people of whom nothing is learnt, about. known_but: the same of the model
        that serves. Where that is less, whoever it has learnt is neither learnt nor asked for.

        Raises Malformed (`not_persons`, `made_labels`, `crop_name`), Conflict (`too_few_people`),
        and what MadeData.read raises.
        """
        data, learnt, held_out = divided(folder, share, known_but)
        return cls(
            data, labelled_pixels([learnt]), labelled_pixels([held_out]), min(share, known_but)
        )


def divided(
    folder: Path, share: float, known_but: float = 1.0
) -> tuple[MadeData, list[Crop], list[Crop]]:
    """The data set, the crops that are learnt from, and those asked for; nobody's are in neither.

    Raises what Roster.read raises.
    """
    data = MadeData.read(folder)
    manifest = data.manifest
    if manifest.kind is not DataKind.PERSONS:
        raise Malformed(f"{manifest.name} holds {manifest.kind}, not persons", code="not_persons")
    if manifest.synthetic:
        raise Malformed(
            f"{manifest.name} is made: what is better is found out by real people alone",
            code="made_labels",
        )
    crops = [crop for crop in of_market_names(data.images) if crop.person > 0]
    learnt = [crop for crop in crops if not is_held_out(crop.person, share)]
    held_out = [crop for crop in crops if is_held_out(crop.person, min(share, known_but))]
    among = f" among the {known_but:.0%} that the serving model was spared"
    _check_enough(learnt, f"{manifest.name} has {{}} people to learn from")
    _check_enough(
        held_out,
        f"{manifest.name} has {{}} people to hold out{among if known_but < share else ''},",
    )
    return data, learnt, held_out


def is_held_out(person: int, share: float) -> bool:
    digest = hashlib.sha256(str(person).encode()).digest()
    return int.from_bytes(digest[:8]) < share * 2**64


def _check_enough(crops: Sequence[Crop], told: str) -> None:
    cameras: dict[int, set[int]] = defaultdict(set)
    for crop in crops:
        cameras[crop.person].add(crop.camera)
    people = sum(len(seen) > 1 for seen in cameras.values())
    if people < LEAST_PEOPLE:
        raise Conflict(
            f"{told.format(people)} whom two cameras saw; {LEAST_PEOPLE} or more are needed: add"
            " people",
            code="too_few_people",
        )
