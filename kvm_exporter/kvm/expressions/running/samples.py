"""What becomes of series?  Samples: one for each metric and set of label values.

1. A series with an unread label is left out.
2. Those with the same label values are one: their values are added up, but for an info's.  Where
   one of them is unread, there is no sum.
3. Of a list of which only a part was read, a sum may lack what was not: what was added up is left
   out then, and what has no label that could tell its elements apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Labels = tuple[str, ...]
Sample = tuple[Labels, int | float]


class Told(NamedTuple):
    """The labels of rows; of those that several rows have, which rows."""

    labels: Sequence[Labels]
    repeated: Mapping[Labels, Sequence[int]]


def told(labels: Sequence[Labels]) -> Told:
    """These labels, a row each."""
    if len(set(labels)) == len(labels):
        return Told(labels, {})
    several = {one for one, count in Counter(labels).items() if count > 1}
    repeated: dict[Labels, list[int]] = {one: [] for one in several}
    for number, one in enumerate(labels):
        if one in several:
            repeated[one].append(number)
    return Told(labels, repeated)


class Samples:
    """One metric's, in the making."""

    def __init__(self) -> None:
        self._parts: list[tuple[Told, Sequence[Any], bool]] = []
        self._values: dict[Labels, Any] = {}  # None for what has no value
        self._sums: set[Labels] = {()}

    def add(self, rows: Told, values: Sequence[int | float | None], *, adds: bool = True) -> None:
        """A value for each row, None for what is unread; ``adds`` as a Series'."""
        self._parts.append((rows, values, adds))

    def lack_some(self) -> None:
        """Of what was added, some is lacking (rule 3)."""
        self._merge()
        self._values.update(dict.fromkeys(self._sums))

    def all(self) -> list[Sample]:
        """The samples."""
        if len(self._parts) == 1 and not self._values and not self._parts[0][0].repeated:
            rows, values, _ = self._parts[0]
            samples = list(zip(rows.labels, values, strict=True))
            if None not in values:
                return samples
        else:
            self._merge()
            samples = list(self._values.items())
        return [sample for sample in samples if sample[1] is not None]

    def _merge(self) -> None:
        """Make the parts one."""
        for rows, values, adds in self._parts:
            fresh: dict[Labels, Any] = dict(zip(rows.labels, values, strict=True))
            for labels, numbers in rows.repeated.items() if adds else ():
                fresh[labels] = _sum([values[number] for number in numbers])
                self._sums.add(labels)
            for labels in fresh.keys() & self._values.keys() if adds else ():
                fresh[labels] = _sum((self._values[labels], fresh[labels]))
                self._sums.add(labels)
            self._values |= fresh
        self._parts.clear()


def _sum(values: Sequence[int | float | None]) -> int | float | None:
    return None if None in values else sum(value for value in values if value is not None)
