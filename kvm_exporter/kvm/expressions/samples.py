"""What becomes of series?  Samples: one for each metric and set of label values.

1. A series with an unread label is left out.
2. Those with the same label values are one: their values are added up, but for an info's.  Where
   one of them is unread, there is no sum.
3. Of a list of which only a part was read, a sum may lack what was not: what was added up is left
   out then, and what has no label that could tell its elements apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Labels = tuple[str, ...]
Sample = tuple[Labels, int | float]


class Samples:
    """One metric's, in the making."""

    def __init__(self) -> None:
        self._values: dict[Labels, Any] = {}  # None for what has no value
        self._sums: set[Labels] = {()}

    def add(self, labels: Sequence[Labels], values: Sequence[int | float | None]) -> None:
        """A series' values, row by row, None for what is unread."""
        fresh = dict(zip(labels, values, strict=True))
        if len(fresh) == len(values) and self._values.keys().isdisjoint(fresh):
            self._values.update(fresh)
        else:
            self._add_up(labels, values)

    def _add_up(self, labels: Sequence[Labels], values: Sequence[int | float | None]) -> None:
        known = self._values
        for one, value in zip(labels, values, strict=True):
            if one in known:
                before = known[one]
                known[one] = None if value is None or before is None else before + value
                self._sums.add(one)
            else:
                known[one] = value

    def note(self, labels: Sequence[Labels], values: Sequence[int | float | None]) -> None:
        """As ``add``, for what is the same however often it is said."""
        self._values = dict(zip(labels, values, strict=True)) | self._values

    def lack_some(self) -> None:
        """Elements of the list were not read (rule 3)."""
        self._values.update(dict.fromkeys(self._sums))

    def all(self) -> list[Sample]:
        """The samples."""
        if None not in self._values.values():
            return list(self._values.items())
        return [(labels, value) for labels, value in self._values.items() if value is not None]
