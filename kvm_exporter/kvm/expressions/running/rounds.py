"""How are many values of memory read at once?  In rounds: all whose addresses are known together.

1. A round has fields, and for each a column of bases, one a row.  What lies near each other is read
   at once (chunks.py, layouts.py).
2. Where all that lies is remembered: as long as the bases are the same, the next round begins with
   reading.
3. Values whose copies lie at the same distances have rounds of their own: where the first ones lie
   tells where all do.
4. Values are unread (None) of a null or unread base, of memory that is not there, and once a budget
   has ended.  Only the second are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Protocol

from kvm_exporter.kvm.expressions.program import TEXT
from kvm_exporter.kvm.expressions.running.budgets import Ledger
from kvm_exporter.kvm.expressions.running.chunks import Field, chunk, chunks
from kvm_exporter.kvm.expressions.running.layouts import Column, Layout, layout
from kvm_exporter.kvm.expressions.running.reading import Reading

LONGEST_TEXT, SHORT_TEXT = 256, 64
"""Bytes of a text of unknown length that are read at most, and what is most often enough."""

AT_ONCE = 1 << 18
"""Values whose places are worked out together, and remembered for the next round."""


class Round(Protocol):
    """Fills slots."""

    def fill(self, columns: list[Column], ledger: Ledger) -> None:
        """Fill slots of columns by those of their bases."""

    def fill_row(self, row: list[Any], ledger: Ledger) -> None:
        """As ``fill``, of a single row."""


def rounds(reading: Reading, fields: Sequence[Field], *, absolute: bool) -> list[Round]:
    """What reads these fields, whose bases are known; ``absolute``: their offsets are addresses."""
    numbers: dict[tuple[int, ...], list[Field]] = {}
    texts: list[Field] = []
    for field in fields:
        (texts if field.code == TEXT else numbers.setdefault(field.copies, [])).append(field)
    found: list[Round] = [Numbers(reading, alike, absolute=absolute) for alike in numbers.values()]
    if texts:
        found.append(Texts(reading, texts))
    return found


class Numbers:
    """A Round of what has a length; all fields have the same copies."""

    def __init__(self, reading: Reading, fields: Sequence[Field], *, absolute: bool) -> None:
        self._reading = reading
        # addresses are known: there the layout alone tells what is near
        self._chunks = [chunk([field]) for field in fields] if absolute else chunks(fields)
        self._slots = [slot for one in self._chunks for slot in one.slots]
        self._bases = sorted({one.base for one in self._chunks})
        self._copies = fields[0].copies
        self._known: list[Column] | None = None
        self._layout = Layout((), ())

    def fill(self, columns: list[Column], ledger: Ledger) -> None:
        """As Round.fill."""
        bases = [columns[base] for base in self._bases]
        rows, step = len(bases[0]), max(AT_ONCE // len(self._slots), 1)
        if rows <= step:
            found = self._columns(bases, ledger)
        else:
            parts = (
                self._columns([base[at : at + step] for base in bases], ledger)
                for at in range(0, rows, step)
            )
            found = [tuple(chain(*column)) for column in zip(*parts, strict=True)]
        for slot, column in zip(self._slots, found, strict=True):
            columns[slot] = column

    def fill_row(self, row: list[Any], ledger: Ledger) -> None:
        """As Round.fill_row."""
        values = self._read([(row[base],) for base in self._bases], ledger)
        for slot, value in zip(self._slots, values, strict=True):
            row[slot] = value

    def _columns(self, bases: list[Column], ledger: Ledger) -> list[Column]:
        rows, count = len(bases[0]), len(self._slots)
        if ledger.halted:
            ledger.gaps = True
            return [(None,) * rows] * count
        values = self._read(bases, ledger)
        return [values[number * rows : (number + 1) * rows] for number in range(count)]

    def _read(self, bases: list[Column], ledger: Ledger) -> Column:
        if bases != self._known:
            at = dict(zip(self._bases, bases, strict=True))
            self._layout = layout(self._reading, self._chunks, at, len(bases[0]))
            self._known = bases
        return self._layout.read(self._reading, ledger, self._copies)


class Texts:
    """A Round of texts whose lengths only their NULs tell."""

    def __init__(self, reading: Reading, fields: Sequence[Field]) -> None:
        self._reading = reading
        self._fields = fields

    def fill(self, columns: list[Column], ledger: Ledger) -> None:
        """As Round.fill; each address is read once."""
        known: dict[int, bytes | None] = {}
        for field in self._fields:
            found = [self._text(base, field, known, ledger) for base in columns[field.base]]
            columns[field.slot] = tuple(found)
            ledger.gaps = ledger.gaps or None in found

    def fill_row(self, row: list[Any], ledger: Ledger) -> None:
        """As Round.fill_row."""
        known: dict[int, bytes | None] = {}
        for field in self._fields:
            row[field.slot] = self._text(row[field.base], field, known, ledger)
            ledger.gaps = ledger.gaps or row[field.slot] is None

    def _text(
        self, base: int | None, field: Field, known: dict[int, bytes | None], ledger: Ledger
    ) -> bytes | None:
        if not base:
            return None
        address = base + field.offset & self._reading.mask
        if address not in known:
            known[address] = self._read(address, ledger)
        return known[address]

    def _read(self, address: int, ledger: Ledger) -> bytes | None:
        data = b""
        for size in (SHORT_TEXT, LONGEST_TEXT - SHORT_TEXT):
            at = address + len(data) & self._reading.mask
            more = self._reading.bytes(at, size) if ledger.allows(size) else b""
            data += more
            if b"\0" in more:
                return data
            if len(more) < size:
                ledger.lost()
                return None
        return data
