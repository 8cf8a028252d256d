"""How are many values of memory read at once?  In rounds: all whose addresses are known together.

1. A round has chunks, and for each a column of bases, one a row.  All their addresses are sorted;
   what lies on one page without large gaps between is a block, which is one read and one unpacking.
2. The blocks are remembered: as long as the bases are the same, the next round begins with reading.
3. A block of which a part cannot be read is read value by value: what can be had is not lost.
4. Values are unread (None) of a null or unread base, of memory that is not there, and once a budget
   has ended.  Only the second are counted.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import AccessDenied, KvmError, Unsupported
from kvm_exporter.kvm.expressions.budgets import Ledger
from kvm_exporter.kvm.expressions.chunks import GAP, PAGE, Chunk, Field, chunk, chunks
from kvm_exporter.kvm.expressions.program import TEXT
from kvm_exporter.kvm.memory import Memory
from kvm_exporter.kvm.remembered import Remembered

Column = tuple[Any, ...]
"""A value for each row: numbers, bytes of texts, None for what is unread."""

LONGEST_TEXT = 256
"""Bytes of a text of unknown length that are read at most."""

MOST_REMEMBERED = 1 << 16
"""Values whose places are remembered for the next round; of more they are worked out again."""

MOST_RECORDS = 1 << 12


class Record(NamedTuple):
    """How bytes become values; ``parts`` are (offset, how its bytes become a value)."""

    size: int
    unpack: Callable[[bytes], Column]
    parts: tuple[tuple[int, struct.Struct], ...]


Block = tuple[int, Record]
"""An address and what is there."""


class Reading:
    """One kernel's memory, with the records that were made for it."""

    def __init__(self, memory: Memory, abi: Abi) -> None:
        self._read = memory.read
        self.abi = abi
        self.mask = abi.address_mask
        self._records: Remembered[tuple[tuple[int, str], ...], Record] = Remembered(MOST_RECORDS)

    def bytes(self, address: int, size: int) -> bytes:
        """Up to ``size`` bytes, none where there is no memory.

        Errors: AccessDenied and Unsupported, for then there is none anywhere.
        """
        try:
            return self._read(address, size)
        except (AccessDenied, Unsupported):
            raise
        except KvmError:
            return b""

    def record(self, parts: tuple[tuple[int, str], ...]) -> Record:
        """The record of (offset, code) in order, the first at 0."""
        return self._records.of(parts, self._make)

    def _make(self, parts: tuple[tuple[int, str], ...]) -> Record:
        at, each = 0, []
        codes: list[str] = [self.abi.order]
        for offset, code in parts:
            codes.append(f"{offset - at}x{code}")
            each.append((offset, struct.Struct(self.abi.order + code)))
            at = offset + each[-1][1].size
        whole = struct.Struct("".join(codes))
        return Record(whole.size, whole.unpack, tuple(each))

    def pieces(self, address: int, record: Record, ledger: Ledger) -> Iterator[Any]:
        """The values of a record one by one, None for those that cannot be read (rule 3)."""
        for offset, part in record.parts:
            at = address + offset & self.mask
            data = self.bytes(at, part.size) if ledger.allows(part.size) else b""
            if len(data) == part.size:
                yield part.unpack(data)[0]
            else:
                ledger.lost()
                yield None


class Layout:
    """The blocks of a round, and how their values become columns, one after the other."""

    def __init__(self, blocks: Sequence[Block], places: Sequence[int]) -> None:
        self._blocks = blocks
        self._gaps = -1 in places
        self._arrange = itemgetter(*places) if len(places) > 1 else _only(places)

    def read(self, reading: Reading, ledger: Ledger) -> Column:
        """All values; the place -1 is that of what is unread."""
        values: list[Any] = []
        extend, read, allows = values.extend, reading.bytes, ledger.allows
        for address, record in self._blocks:
            if not allows(record.size):
                ledger.gaps = True
                extend((None,) * len(record.parts))
                continue
            data = read(address, record.size)
            if len(data) == record.size:
                extend(record.unpack(data))
            else:
                extend(reading.pieces(address, record, ledger))
        values.append(None)
        ledger.gaps = ledger.gaps or self._gaps
        return self._arrange(values)


def _only(places: Sequence[int]) -> Callable[[Sequence[Any]], Column]:
    return lambda values: tuple(values[place] for place in places)


class Round:
    """Fields that are read together; ``absolute``: their offsets are addresses."""

    def __init__(self, reading: Reading, fields: Sequence[Field], *, absolute: bool) -> None:
        self._reading = reading
        numbers = [field for field in fields if field.code != TEXT]
        self._chunks = [chunk([field]) for field in numbers] if absolute else chunks(numbers)
        self._slots = [slot for one in self._chunks for slot in one.slots]
        self._bases = sorted({one.base for one in self._chunks})
        self._texts = [field for field in fields if field.code == TEXT]
        self._known: list[Column] | None = None
        self._layout = Layout((), ())

    def fill(self, columns: list[Column], ledger: Ledger) -> None:
        """Put the fields' values into their slots' columns."""
        if self._chunks:
            values = self._place(columns).read(self._reading, ledger)
            rows = len(columns[self._bases[0]])
            for number, slot in enumerate(self._slots):
                columns[slot] = values[number * rows : (number + 1) * rows]
        texts: dict[int, bytes | None] = {}
        for field in self._texts:
            columns[field.slot] = self._read_texts(field, columns[field.base], texts, ledger)

    def _place(self, columns: Sequence[Column]) -> Layout:
        """The layout for these bases, the last one where they are the same (rule 2)."""
        bases = [columns[base] for base in self._bases]
        if bases == self._known:
            return self._layout
        rows = len(bases[0])
        layout = _Placing(self._reading, self._chunks, rows).layout(columns)
        small = rows * len(self._slots) <= MOST_REMEMBERED
        self._known, self._layout = (bases, layout) if small else (None, self._layout)
        return layout

    def _read_texts(
        self, field: Field, bases: Column, texts: dict[int, bytes | None], ledger: Ledger
    ) -> Column:
        """A column of texts; ``texts`` are those that were read already, by address."""
        column: list[bytes | None] = []
        for base in bases:
            at = base and base + field.offset & self._reading.mask
            if at and at not in texts:
                texts[at] = self._text(at, ledger)
            column.append(texts.get(at))
        ledger.gaps = ledger.gaps or None in column
        return tuple(column)

    def _text(self, address: int, ledger: Ledger) -> bytes | None:
        if not ledger.allows(LONGEST_TEXT):
            return None
        data = self._reading.bytes(address, LONGEST_TEXT)
        if len(data) < LONGEST_TEXT and b"\0" not in data:
            ledger.lost()
            return None
        return data


class _Placing:
    """Rule 1: a layout in the making."""

    def __init__(self, reading: Reading, chunks: Sequence[Chunk], rows: int) -> None:
        self._reading = reading
        self._chunks = chunks
        self._rows = rows
        self._first: list[int] = []
        values = 0
        for one in chunks:
            self._first.append(values * rows)
            values += len(one.slots)
        self._places = [-1] * (values * rows)
        self._blocks: list[Block] = []
        self._parts: list[tuple[int, str]] = []
        self._values = 0

    def layout(self, columns: Sequence[Column]) -> Layout:
        """The blocks for these bases."""
        mask = self._reading.mask
        requests = [
            (base + one.start & mask, number, row)
            for number, one in enumerate(self._chunks)
            for row, base in enumerate(columns[one.base])
            if base
        ]
        requests.sort()
        start = end = 0
        before: object = None
        for address, number, row in requests:
            one = self._chunks[number]
            if (address, one.parts) != before:
                stop = address + one.size
                near = 0 <= address - end <= GAP and stop <= (start | PAGE - 1) + 1
                if not near or not self._parts:
                    self._close(start)
                    start = address
                shift = address - start
                self._parts += [(shift + offset, code) for offset, code in one.parts]
                self._values += len(one.parts)
                end, before = stop, (address, one.parts)
            self._put(number, row)
        self._close(start)
        return Layout(self._blocks, self._places)

    def _put(self, number: int, row: int) -> None:
        """The last chunk's values are those of this chunk in this row."""
        count = len(self._chunks[number].slots)
        for at in range(count):
            place = self._first[number] + at * self._rows + row
            self._places[place] = self._values - count + at

    def _close(self, start: int) -> None:
        if self._parts:
            self._blocks.append((start, self._reading.record(tuple(self._parts))))
            self._parts = []
