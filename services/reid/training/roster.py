"""A labelled data set -> the people to learn from, and those who are only asked for.

Who is held out is a matter of their number alone: every training on a data set, and on what it
grows to, holds out the same people. So a model that an earlier one made is not judged by people
whom it has learnt.
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
    """A data set of people, divided."""

    data: MadeData
    learnt: LabelledPixels
    held_out: LabelledPixels

    @classmethod
    def read(cls, folder: Path, share: float) -> Self:
        """share: of the people who are held out, about.

        Raises Malformed (`not_persons`, `made_labels`, `crop_name`), Conflict (`too_few_people`),
        and what MadeData.read raises.
        """
        data, learnt, held_out = divided(folder, share)
        return cls(data, labelled_pixels([learnt]), labelled_pixels([held_out]))


def divided(folder: Path, share: float) -> tuple[MadeData, list[Crop], list[Crop]]:
    """The data set, the crops that are learnt from, and those held out; nobody's are in neither.

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
    held_out = [crop for crop in crops if is_held_out(crop.person, share)]
    _check_enough(learnt, f"{manifest.name} has {{}} people to learn from")
    _check_enough(held_out, f"{manifest.name} has {{}} people to hold out")
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
            f"{told.format(people)} whom two cameras saw; {LEAST_PEOPLE} or more are needed",
            code="too_few_people",
        )
