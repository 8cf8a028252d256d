"""How does a minidump's page map translate?  Page-table entries laid end to end in the file.

1. Entry n maps the 1 << shift bytes from ``base + (n << shift)`` on; kernels spell superpages out,
   so an entry is a page, or (amd64 since version 2) a directory entry, whose table, if it has one,
   is an ordinary page of the dump.
2. Tables are read a chunk at a time and remembered as arrays; an entry is decoded when it is asked
   for.
3. A damaged map may name one table again and again: listing visits a table once.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kvm_exporter.kvm.errors import Fault
from kvm_exporter.kvm.paging import Entry, Leaves, Paging, Slot
from kvm_exporter.kvm.source import Source
from kvm_exporter.kvm.space import Mapped, Mapping, PhysicalMemory, Step

CHUNK = 4096
"""Bytes read at once, a multiple of every entry's size."""

MOST_CHUNKS = 512
"""Remembered of the map, and as many of the tables; then all are forgotten.  2 MB each."""


class Area(NamedTuple):
    """The page map's place in the file; its entries map addresses from ``base`` to ``end``."""

    offset: int
    size: int
    base: int
    end: int = 1 << 64


class PageMap:
    """A space.Translator over ``area``; ``memory`` has the tables that it leads to.

    ``levels``: the shift of the area's entries, then that of the tables they lead to, if any.
    """

    def __init__(
        self,
        source: Source,
        area: Area,
        paging: Paging,
        levels: tuple[int, ...],
        memory: PhysicalMemory,
    ) -> None:
        self._source = source
        self._area = area
        self._base = area.base
        self._memory = memory
        self._decode = paging.decode
        self._paging = paging
        self._shift = levels[0]
        self._below = levels[1] if len(levels) > 1 else self._shift
        self._leaves = Leaves(paging, self._below)
        self._below_mask = (1 << self._shift - self._below) - 1
        room = -(area.base - area.end >> self._shift)
        self._count = min(area.size // paging.entry_size, room)
        self._per_chunk = CHUNK // paging.entry_size
        self._chunks: dict[int, array[int]] = {}
        self._tables: dict[int, array[int]] = {}

    def translate(self, address: int, length: int) -> Mapped:
        """As Translator.translate: pages that lie together are one run, up to their table's end."""
        slot = self._slot(address)
        mapped = self._paging.mapped(slot, address, length)
        if mapped is None:
            raise self._invalid(address, slot)
        return mapped

    def pages(self, address: int, size: int, count: int) -> Sequence[int]:
        """As Translator.pages."""
        slot = self._slot(address)
        found = self._leaves.pages(slot, address, size, count)
        if found is None:
            raise self._invalid(address, slot)
        return found

    def _invalid(self, address: int, slot: Slot) -> Fault:
        level = 0 if slot[2] == self._shift else 1
        return Fault(address, "not mapped: its page-table entry is not valid", level)

    def _slot(self, address: int) -> Slot:
        """The entry that says where the address lies, if anything does."""
        index = (address - self._base) >> self._shift
        table = self._tables.get(index)
        if table is None:
            if not 0 <= index < self._count:
                raise Fault(address, f"outside of the dump's page map ({self._bounds()})")
            number, within = divmod(index, self._per_chunk)
            chunk = self._chunks.get(number) or self._chunk(number)
            above = self._decode(chunk[within], self._shift) if self._below_mask else None
            if above is None or above.size:
                return chunk, within, self._shift
            table = self._remembered(index, above, address)
        return table, address >> self._below & self._below_mask, self._below

    def _bounds(self) -> str:
        return f"{self._base:#x} to {self._base + (self._count << self._shift):#x}"

    def _remembered(self, index: int, above: Entry, address: int) -> array[int]:
        """The table that the directory entry ``above`` leads to, the map's number ``index``."""
        try:
            table = self._table(above)
        except Fault as e:
            raise Fault(address, f"its page table at {above.address:#x}: {e}", 1) from e
        if len(self._tables) >= MOST_CHUNKS:
            self._tables.clear()
        self._tables[index] = table
        return table

    def _chunk(self, number: int) -> array[int]:
        """As many entries as the page map has there; zeros where the file has ended."""
        entries = min(self._per_chunk, self._count - number * self._per_chunk)
        size = entries * self._paging.entry_size
        data = self._source.read(self._area.offset + number * CHUNK, size)
        chunk = self._paging.table(data.ljust(size, b"\0"))
        if len(self._chunks) >= MOST_CHUNKS:
            self._chunks.clear()
        self._chunks[number] = chunk
        return chunk

    def _table(self, above: Entry) -> array[int]:
        """What a directory entry leads to; Fault where the dump does not have it."""
        size = self._paging.entry_size * (self._below_mask + 1)
        return self._paging.table(self._memory.read(above.address, size))

    def trace(self, address: int) -> Iterator[Step]:
        """As Translator.trace: the map's entry, and that of the table it leads to, if any."""
        table, within, shift = self._slot(address)
        index = (address - self._base) >> self._shift
        chunk = self._chunk(index // self._per_chunk)
        word = chunk[index % self._per_chunk]
        yield Step(f"page map at {self._area.offset:#x} of the file", None, index, word)
        above = self._decode(word, self._shift)
        if shift != self._shift and above:
            yield Step("page table", above.address, within, table[within])

    def mappings(self) -> Iterator[Mapping]:
        """As Translator.mappings; tables that the dump does not have are left out."""
        seen: set[int] = set()
        for first in range(0, self._count, self._per_chunk):
            chunk = self._chunk(first // self._per_chunk)
            for index, entry in self._present(chunk, self._shift):
                address = self._base + (first + index << self._shift)
                if entry.size:
                    yield _mapping(address, entry, 1 << self._shift)
                elif entry.address not in seen:
                    seen.add(entry.address)
                    yield from self._mappings_under(entry, address)

    def _mappings_under(self, above: Entry, address: int) -> Iterator[Mapping]:
        try:
            table = self._table(above)
        except Fault:
            return
        for index, entry in self._present(table, self._below):
            if entry.size:
                yield _mapping(address + (index << self._below), entry, 1 << self._below)

    def _present(self, table: array[int], shift: int) -> Iterator[tuple[int, Entry]]:
        if not any(table):
            return
        for index, word in enumerate(table):
            entry = self._decode(word, shift) if word else None
            if entry is not None:
                yield index, entry


def _mapping(address: int, entry: Entry, size: int) -> Mapping:
    """Of one entry's share: a larger page (arm's of 64 KB) is repeated in each of its entries."""
    within = address & (entry.size - 1)
    return Mapping(address, entry.address + within, min(size, entry.size), entry.protection)
