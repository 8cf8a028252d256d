"""How are the values of all elements of lists worked out?  Column by column.

1. A frame has what is known of a list's elements: a column of each slot of its table (slots.py),
   and which row of the frame around each belongs to.
2. A formula is worked out in the innermost frame that it needs something of: the name of an outer
   element once for that element.  Then its column is spread over the rows within.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import compress

from kvm_exporter.kvm.expressions.program import Formula, Read
from kvm_exporter.kvm.expressions.running.budgets import Ledger
from kvm_exporter.kvm.expressions.running.formulas import Function, Functions, plain_reads, valued
from kvm_exporter.kvm.expressions.running.layouts import Column
from kvm_exporter.kvm.expressions.running.rounds import Round
from kvm_exporter.kvm.expressions.running.slots import ADDRESS, Place, Places


class Frame:
    """Table ``number``'s columns; ``parents`` are the rows of the frame ``around`` (rule 1)."""

    def __init__(
        self, number: int, columns: list[Column], parents: Sequence[int], around: Frame | None
    ) -> None:
        self.columns = columns
        self._number = number
        self._parents = parents
        self._around = around
        self._spread: dict[Place, Column] = {}

    def __len__(self) -> int:
        return len(self.columns[ADDRESS])

    def column(self, place: Place) -> Column:
        """What is in a slot of this table, or of one around, for each row."""
        if place.table == self._number:
            return self.columns[place.slot]
        if place not in self._spread:
            column = self.at(place.table).columns[place.slot]
            self._spread[place] = self.spread(column, place.table)
        return self._spread[place]

    def at(self, number: int) -> Frame:
        """The frame of that table, this one or one around."""
        found = self
        while found._number != number and found._around is not None:
            found = found._around
        return found

    def spread(self, column: Column, number: int) -> Column:
        """A column of that table's frame, for each row of this one."""
        if number == self._number or self._around is None:
            return column
        column = self._around.spread(column, number)
        if len(column) == 1:
            return column * len(self)
        return tuple([column[parent] for parent in self._parents])

    def keep(self, chosen: Sequence[object]) -> None:
        """Keep the rows for which something true was chosen."""
        self.columns = [tuple(compress(column, chosen)) for column in self.columns]
        self._parents = list(compress(self._parents, chosen))
        self._spread = {}

    def fill(self, rounds: Iterable[Round], ledger: Ledger) -> None:
        """Read more columns."""
        for one in rounds:
            one.fill(self.columns, ledger)


class _Needed:
    """Indices of a row that has just what is asked for."""

    def __init__(self, places: Places) -> None:
        self.reads: Sequence[Read] = places.reads
        self.found: dict[Place, int] = {}
        self._places = places

    def read(self, number: int) -> int:
        """As Indices.read."""
        return self._index(self._places.read(number))

    def address(self, base: int) -> int:
        """As Indices.address."""
        return self._index(self._places.address(base))

    def position(self, base: int) -> int:
        """As Indices.position."""
        return self._index(self._places.position(base))

    def _index(self, place: Place) -> int:
        return self.found.setdefault(place, len(self.found))


class Worked:
    """One formula, worked out column by column; ``label``: as texts."""

    def __init__(self, formula: Formula, places: Places, mask: int, *, label: bool) -> None:
        self._formula = formula
        self._places = places
        self._needed = _Needed(places)
        self._mask = mask
        self._label = label

    def column(self, frame: Frame, *, gaps: bool) -> Column:
        """A value for each row, None for none; ``gaps``: some of the frames may be unread."""
        function, needed, within = self._fast
        if not needed:
            return (valued(function, ()),) * len(frame)
        inner = frame.at(within)
        columns = [inner.column(place) for place in needed]
        found = columns[0] if self._plain else self._values(columns, gaps=gaps)
        return frame.spread(found, within)

    def _values(self, columns: Sequence[Column], *, gaps: bool) -> Column:
        if not (gaps and any(None in column for column in columns)):
            try:
                return tuple(map(self._fast[0], zip(*columns, strict=True)))
            except ArithmeticError:  # of one of the rows
                pass
        return tuple([valued(self._careful, row) for row in zip(*columns, strict=True)])

    @cached_property
    def _plain(self) -> bool:
        """Whether it is but one value, as it was read."""
        return not self._label and bool(plain_reads([self._formula], self._places.reads))

    @cached_property
    def _fast(self) -> tuple[Function, Sequence[Place], int]:
        """The function, what its rows have, and the innermost table of these."""
        function, needed = self._function(careful=False), tuple(self._needed.found)
        return function, needed, max((place.table for place in needed), default=0)

    @cached_property
    def _careful(self) -> Function:
        return self._function(careful=True)

    def _function(self, *, careful: bool) -> Function:
        functions = Functions(self._needed, self._mask, careful=careful)
        return functions.label(self._formula) if self._label else functions.number(self._formula)
