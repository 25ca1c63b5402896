"""What is known of each row of an index besides its vector, by columns, and the rows a filter
admits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from numpy.typing import NDArray

    from services.reid.gallery.gallery import Batch, Filter, Numbers

    Mask = NDArray[np.bool_]
    Rows = NDArray[np.int64]

NUMBERS = ("ids", "starts", "ends", "persons", "cameras")


class Names:
    """Strings that many rows share -> small numbers."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.all = list(names)
        self._numbers = {name: n for n, name in enumerate(self.all)}

    def __len__(self) -> int:
        return len(self.all)

    def numbers(self, names: Sequence[str]) -> Numbers:
        """Unknown names get the next numbers."""
        found = [self._numbers.setdefault(name, len(self._numbers)) for name in names]
        self.all += list(self._numbers)[len(self.all) :]
        return np.array(found, np.int64)

    def known(self, names: Collection[str]) -> list[int]:
        return [self._numbers[name] for name in names if name in self._numbers]


class Columns:
    """All rows, in the order in which they came. Rows are counted from 0."""

    def __init__(
        self,
        numbers: dict[str, Numbers] | None = None,
        persons: Names | None = None,
        cameras: Names | None = None,
    ) -> None:
        """numbers: by NUMBERS; persons and cameras among them number these names."""
        self._numbers = numbers or {name: np.empty(0, np.int64) for name in NUMBERS}
        self._rows = len(self._numbers["ids"])
        self.persons = persons or Names()
        self.cameras = cameras or Names()

    def __len__(self) -> int:
        return self._rows

    @property
    def people(self) -> int:
        """How many the rows are of: who was merged away has left a name that nobody bears."""
        return int(np.count_nonzero(np.bincount(self.column("persons"))))

    def column(self, name: str) -> Numbers:
        """One of NUMBERS, a view."""
        return self._numbers[name][: self._rows]

    def add(self, batch: Batch) -> None:
        end = self._rows + len(batch)
        if end > len(self._numbers["ids"]):
            room = max(end, len(self._numbers["ids"]) * 5 // 4)
            for name, column in self._numbers.items():
                self._numbers[name] = np.concatenate(
                    [column[: self._rows], np.empty(room - self._rows, np.int64)]
                )
        rows = np.arange(self._rows, end)
        self._rows = end
        self.column("ids")[rows] = batch.ids
        self.describe(rows, batch)

    def describe(self, rows: Rows, batch: Batch) -> None:
        """Writes anew what is known of rows. Their ids stay."""
        self.column("starts")[rows] = batch.starts
        self.column("ends")[rows] = batch.ends
        self.column("persons")[rows] = self.persons.numbers(batch.persons)
        self.column("cameras")[rows] = self.cameras.numbers(batch.cameras)

    def rows_of(self, ids: Numbers) -> Rows:
        """The rows of those ids that are here, in the order of the rows."""
        if not len(ids) or not self._rows:
            return np.empty(0, np.int64)
        known = self.column("ids")
        # Ids that come together lie close together: few of a million need a closer look.
        near = np.flatnonzero((known >= ids.min()) & (known <= ids.max()))
        return near[np.isin(known[near], ids)]

    def admitted(self, only: Filter) -> Mask | None:
        """Which rows a filter admits; None for all."""
        if only.is_open:
            return None
        admitted = np.ones(self._rows, np.bool_)
        if only.camera_ids is not None:
            wanted = np.zeros(max(len(self.cameras), 1), np.bool_)
            wanted[self.cameras.known(only.camera_ids)] = True
            admitted &= wanted[self.column("cameras")]
        if only.start_us is not None:
            admitted &= self.column("ends") >= only.start_us
        if only.end_us is not None:
            admitted &= self.column("starts") < only.end_us
        return admitted

    def kept(self, keep: Mask) -> Columns:
        """These rows alone, in arrays of their own; names that nobody bears any longer are gone."""
        numbers = {name: self.column(name)[keep] for name in NUMBERS}
        names = {}
        for column, old in (("persons", self.persons), ("cameras", self.cameras)):
            used, numbers[column] = np.unique(numbers[column], return_inverse=True)
            names[column] = Names(old.all[number] for number in used)
        return Columns(numbers, names["persons"], names["cameras"])
