"""Where do a program's values go?  Into slots of tables: one table for each list around, one row
for each element.

1. Table 0 has one row, of what lies at addresses of its own; table n has a row for each element of
   the nth list.  Slot ADDRESS of a row is where the element lies, POSITION its number.
2. A read belongs to the table of the element, or the absolute address, from which its pointers
   lead.  The same read of several programs, or twice in one, is one slot.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from kvm_exporter.kvm.expressions.program import (
    ABSOLUTE,
    ELEMENT,
    TEXT,
    Address,
    Apply,
    Formula,
    Joined,
    Read,
    Spelled,
    Sum,
    Truncated,
    Value,
)
from kvm_exporter.kvm.expressions.running.chunks import Field
from kvm_exporter.kvm.expressions.running.reading import Reading
from kvm_exporter.kvm.expressions.running.rounds import Round, rounds

ADDRESS, POSITION, FIRST = 0, 1, 2


class Table:
    """The slots of one level."""

    def __init__(self, *, absolute: bool) -> None:
        self._absolute = absolute
        self._slots: dict[tuple[int, int, str, tuple[int, ...]], int] = {}
        self._fields: list[Field] = []

    @property
    def width(self) -> int:
        """Slots of a row."""
        return FIRST + len(self._fields)

    @property
    def slots(self) -> range:
        """Those of values that are read."""
        return range(FIRST, self.width)

    def slot(self, base: int, offset: int, code: str, copies: tuple[int, ...] = ()) -> int:
        """The slot of a value at ``offset`` from what is in the slot ``base``, with its copies."""
        found = self._slots.setdefault((base, offset, code, copies), self.width)
        if found == self.width:
            self._fields.append(Field(base, offset, code, found, copies))
        return found

    def field(self, slot: int) -> Field:
        """What is in a slot."""
        return self._fields[slot - FIRST]

    def at_element(self) -> list[Field]:
        """Those that need no pointer to be followed, no end to be found, and have no copies."""
        near = (one for one in self._fields if one.base == ADDRESS and not one.copies)
        return [one for one in near if one.code != TEXT]

    def with_bases(self, slots: Iterable[int]) -> set[int]:
        """Slots and those of the pointers that lead there."""
        found: set[int] = set()
        for slot in slots:
            at = slot
            while at >= FIRST and at not in found:
                found.add(at)
                at = self.field(at).base
        return found

    def rounds(self, reading: Reading, slots: Collection[int]) -> list[Round]:
        """How these slots are filled: by depth, what is pointed at after the pointer."""
        depths: dict[int, int] = {ADDRESS: 0}
        together: dict[int, list[Field]] = {}
        for field in self._fields:
            depths[field.slot] = depth = depths[field.base] + 1
            if field.slot in slots:
                together.setdefault(depth, []).append(field)
        return [
            one
            for depth, fields in sorted(together.items())
            for one in rounds(reading, fields, absolute=self._absolute and depth == 1)
        ]


class Place(NamedTuple):
    """Where a read's value is: the number of its table, and the slot in it."""

    table: int
    slot: int


class Places:
    """Where formulas over ``reads`` find what they need: in tables 0 to ``depth``."""

    def __init__(self, tables: Sequence[Table], reads: Sequence[Read], depth: int) -> None:
        self.reads = reads
        self._depth = depth
        self._places: list[Place] = []
        for read in reads:
            table, base = self._base(read.base)
            slot = tables[table].slot(base, read.offset, read.code, read.copies)
            self._places.append(Place(table, slot))

    def read(self, number: int) -> Place:
        """Where a read's value is."""
        return self._places[number]

    def address(self, base: int) -> Place:
        """Where an element's address, or that in a pointer, is."""
        return self._base(base)

    def position(self, base: int) -> Place:
        """Where an element's number is."""
        return Place(self._base(base).table, POSITION)

    def slots(self, formulas: Iterable[Formula], table: int) -> set[int]:
        """The slots of a table that these formulas need."""
        needed = (self._places[number] for one in formulas for number in reads_of(one))
        return {place.slot for place in needed if place.table == table}

    def _base(self, base: int) -> Place:
        if base == ABSOLUTE:
            return Place(0, ADDRESS)
        if base <= ELEMENT:
            return Place(self._depth + base - ELEMENT, ADDRESS)
        return self._places[base]


def reads_of(formula: Formula) -> set[int]:
    """The numbers of the reads that a formula uses."""
    match formula:
        case Value(read=read):
            return {read}
        case Address(base=base):
            return {base} if base >= 0 else set()
        case Sum(of=parts) | Apply(of=parts) | Joined(of=parts):
            return set().union(*map(reads_of, parts))
        case Spelled(of=part) | Truncated(of=part):
            return reads_of(part)
    return set()
