"""Which values are one read?  What lies on one page without large gaps between is a block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import add, itemgetter
from typing import Any

from kvm_exporter.kvm.expressions.running.budgets import Ledger
from kvm_exporter.kvm.expressions.running.chunks import GAP, PAGE, Chunk
from kvm_exporter.kvm.expressions.running.reading import Reading, Record

Column = tuple[Any, ...]
"""A value for each row: numbers, bytes of texts, None for what is unread."""


class Layout:
    """Blocks, at their addresses, and where among their values the wanted ones are."""

    def __init__(self, blocks: Sequence[tuple[int, Record]], places: Sequence[int]) -> None:
        """A place of -1: of that value it is not known where it lies, it is unread."""
        self._blocks = blocks
        self._gaps = -1 in places
        self._arrange = _getter(places)

    def read(self, reading: Reading, ledger: Ledger, copies: Iterable[int] = ()) -> Column:
        """The values, with all their copies at these distances added up."""
        values = self._values(reading, ledger, 0)
        for distance in copies:
            more = self._values(reading, ledger, distance)
            values = _added(values, more) if ledger.gaps else list(map(add, values, more))
        values.append(None)
        ledger.gaps = ledger.gaps or self._gaps
        return self._arrange(values)

    def _values(self, reading: Reading, ledger: Ledger, distance: int) -> list[Any]:
        """Those in all blocks, so far from their addresses; those of a block that cannot be read
        are read one by one."""
        values: list[Any] = []
        extend, read, allows, mask = values.extend, reading.bytes, ledger.allows, reading.mask
        for start, record in self._blocks:
            address = start + distance & mask
            if not allows(record.size):
                ledger.gaps = True
                extend((None,) * len(record.parts))
                continue
            data = read(address, record.size)
            if len(data) == record.size:
                extend(record.unpack(data))
            else:
                pieces = list(reading.pieces(address, record, ledger))
                ledger.lost(pieces.count(None))
                extend(pieces)
        return values


def _added(values: Sequence[Any], more: Sequence[Any]) -> list[Any]:
    """Sums of each two; None where one is unread."""
    pairs = zip(values, more, strict=True)
    return [None if one is None or other is None else one + other for one, other in pairs]


def _getter(places: Sequence[int]) -> Callable[[Sequence[Any]], Column]:
    if len(places) > 1:
        return itemgetter(*places)
    return lambda values: tuple([values[place] for place in places])


def layout(
    reading: Reading, chunks: Sequence[Chunk], bases: Mapping[int, Column], rows: int
) -> Layout:
    """The layout of these chunks at each row's bases; nothing lies at a null or unread one.

    Its values: the first of the first chunk for each row, then the next one.
    """
    mask = reading.mask
    requests = [
        (base + one.start & mask, number, row)
        for number, one in enumerate(chunks)
        for row, base in enumerate(bases[one.base])
        if base
    ]
    requests.sort()
    placing = _Placing(reading, chunks, rows)
    for request in requests:
        placing.add(*request)
    return placing.done()


class _Placing:
    """A layout in the making; chunks come by their addresses."""

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
        self._blocks: list[tuple[int, Record]] = []
        self._parts: list[tuple[int, str]] = []
        self._start = self._end = self._values = 0
        self._last: object = None

    def add(self, address: int, number: int, row: int) -> None:
        """A chunk's values for a row are at an address."""
        one = self._chunks[number]
        if (address, one.parts) != self._last:
            self._append(address, one)
            self._last = address, one.parts
        first, count = self._first[number] + row, len(one.slots)
        for at in range(count):
            self._places[first + at * self._rows] = self._values - count + at

    def _append(self, address: int, one: Chunk) -> None:
        stop = address + one.size
        near = 0 <= address - self._end <= GAP and stop <= (self._start | PAGE - 1) + 1
        if not near or not self._parts:
            self._close()
            self._start = address
        shift = address - self._start
        self._parts += [(shift + offset, code) for offset, code in one.parts]
        self._values += len(one.parts)
        self._end = stop

    def _close(self) -> None:
        if self._parts:
            self._blocks.append((self._start, self._reading.record(tuple(self._parts))))
            self._parts = []

    def done(self) -> Layout:
        """The layout of all that was added."""
        self._close()
        return Layout(self._blocks, self._places)
