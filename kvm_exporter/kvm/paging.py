"""How does a page table turn a virtual address into a physical one?  The one radix walker.

1. A form of paging is data: the levels from the root down and a decoder of one entry.
   Architectures bring theirs (arch/).
2. A table is read whole, once, and remembered as an array; so is which last table the upper bits
   of an address lead to.  What is remembered is bounded, and forgotten all at once.
3. Tables of a damaged dump may say anything.  A translation takes one step a level; listing visits
   a table once for each level that it is used at, and never one that it is already inside of (the
   slot with which amd64 and i386 map the tables themselves).
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

from kvm_exporter.kvm.errors import Fault, FormatError
from kvm_exporter.kvm.space import EXECUTE, READ, WRITE, Mapped, Mapping, PhysicalMemory, Step

ADDRESSES = 1 << 64
NATIVE = "<" if sys.byteorder == "little" else ">"
MOST_REMEMBERED = 1 << 20
"""Entries of tables: 8 MB."""
NO_PAGE = "has no page for it"
MOST_FLAGS = 1 << 12
"""Remembered patterns of flags; a kernel has a few dozen."""
NOWHERE = 1 << 80
"""No physical address, whatever is added to it."""
MOST_TABLES = 1 << 18
"""Visited while listing: half a terabyte mapped by pages of 4 KB."""


class Entry(NamedTuple):
    """What a present entry says: where its page or the next table lies.

    ``protection`` is of space.READ, WRITE, EXECUTE; of a table it is what that still allows.
    ``size``: bytes of the page, which starts at a multiple of that in both memories; 0 for a table.
    """

    address: int
    protection: int
    size: int

    @property
    def leaf(self) -> bool:
        """Whether it maps a page."""
        return self.size > 0


class Level(NamedTuple):
    """A table's index: ``bits`` of the address, from ``shift`` on.  An entry maps 1 << shift."""

    shift: int
    bits: int


Decode = Callable[[int, int], Entry | None]
"""(entry, shift of its level) → what it says; None where it is not present or not valid there."""


Slot: TypeAlias = "tuple[array[int], int, int]"
"""An entry in its place: a table, an index, the shift of the table's level."""


@dataclass(frozen=True, slots=True)
class Paging:
    """A form of paging; ``levels`` from the root down.

    Its tables map addresses from ``base`` on; or, ``signed``, those whose upper bits repeat the
    highest that they translate.  Entries hold addresses ``shifted`` right by so many bits; the bits
    ``frame`` of a last table's entry are of the address and nothing else, its others may be.
    ``root_members``: which member of struct pmap points to the root (a kernel virtual address),
    newest kernels' name first.  ``elsewhere``: what an entry says that is neither empty nor of a
    page, where that is more than that there is no page.
    """

    name: str
    levels: tuple[Level, ...]
    entry_size: Literal[4, 8]
    decode: Decode
    order: Literal["<", ">"] = "<"
    base: int = 0
    signed: bool = False
    shifted: int = 0
    frame: int = 0
    root_members: tuple[str, ...] = ()
    elsewhere: str = NO_PAGE

    @property
    def span(self) -> int:
        """Bytes that a root maps."""
        return 1 << self.levels[0].shift + self.levels[0].bits

    def lower(self) -> Paging:
        """The same form for addresses from 0 on: a process's, where the kernel's are apart."""
        return replace(self, base=0)

    def table(self, data: bytes) -> array[int]:
        """The entries of a table whose bytes are ``data``; a torn last one is left out."""
        whole = len(data) // self.entry_size * self.entry_size
        table = array("Q" if self.entry_size == 8 else "I", data[:whole])
        if self.order != NATIVE:
            table.byteswap()
        return table

    def mapped(self, slot: Slot, address: int, length: int) -> Mapped | None:
        """What ``slot`` says of ``address``; a run may go on through the entries after it.

        None where the entry is of no page.
        """
        table, index, shift = slot
        entry = self.decode(table[index], shift)
        if entry is None or not entry.size:
            return None
        within = address & (entry.size - 1)
        run = entry.size - within
        if run < length and entry.size == 1 << shift:
            run += self._more(slot, entry.address, length - run)
        return Mapped(entry.address + within, min(run, length))

    def _more(self, slot: Slot, first: int, length: int) -> int:
        """How many bytes of ``length`` the entries after ``slot`` add to its run.

        An entry that differs from the one before by a page's address alone is not decoded, but for
        the last: an address that overflows its field does not go on.
        """
        table, index, shift = slot
        step = 1 << shift
        same = step >> self.shifted
        before, expected = table[index], first
        for raw in table[index + 1 : index + 1 - (-length >> shift)]:
            expected += step
            if raw - before != same and not self._leads(raw, shift, expected):
                expected -= step
                break
            before = raw
        return expected - first if self._leads(before, shift, expected) else 0

    def _leads(self, raw: int, shift: int, address: int) -> bool:
        entry = self.decode(raw, shift)
        return entry is not None and entry.size == 1 << shift and entry.address == address


class Leaves:
    """The pages that entries of ``paging`` map, many at once.

    What the bits outside of Paging.frame say of a last table's entry is decoded once.
    """

    def __init__(self, paging: Paging, last_shift: int) -> None:
        self._paging = paging
        self._shift = last_shift
        self._size = 1 << last_shift
        self._frame = paging.frame
        self._flags = (1 << 8 * paging.entry_size) - 1 & ~paging.frame
        self._shifted = paging.shifted
        self._bases = _Bases(paging, last_shift)

    def pages(self, slot: Slot, address: int, size: int, count: int) -> Sequence[int] | None:
        """As Translator.pages, up to the end of the table; None if the first is not mapped."""
        table, index, shift = slot
        if size == self._size and shift == self._shift:
            frame, flags, shifted, bases = self._frame, self._flags, self._shifted, self._bases
            found = [
                ((raw & frame) << shifted) + bases[raw & flags]
                for raw in table[index : index + count]
            ]
            if found[0] < NOWHERE:
                return found
        mapped = self._paging.mapped(slot, address, size * count)
        return mapped and mapped.pages(size)


class _Bases(dict[int, int]):
    """The bits outside of the frame → the address that they add; NOWHERE if of no usual page.

    Nor is one usual whose frame is not the address itself (an inverted one, for one).
    """

    def __init__(self, paging: Paging, shift: int) -> None:
        super().__init__()
        self._decode = paging.decode
        self._shift = shift
        self._frame = paging.frame << paging.shifted

    def __missing__(self, flags: int) -> int:
        if len(self) >= MOST_FLAGS:
            self.clear()
        entry = self._decode(flags, self._shift)
        base = NOWHERE
        if entry and entry.size == 1 << self._shift and not entry.address & self._frame:
            base = entry.address
        self[flags] = base
        return base


class _Table(NamedTuple):
    """A table that is being listed, the address of its first entry, and the tables above it."""

    depth: int
    at: int
    base: int
    allowed: int
    inside: tuple[int, ...]


class PageTables:
    """The address space below the ``root`` table (a physical address): a space.Translator."""

    def __init__(self, memory: PhysicalMemory, paging: Paging, root: int) -> None:
        self._memory = memory
        self._paging = paging
        self._root = root
        self._decode = paging.decode
        self._mapped = paging.mapped
        self._leaves = Leaves(paging, paging.levels[-1].shift)
        self._first = ADDRESSES - paging.span // 2 if paging.signed else paging.base
        self._span = paging.span
        last = paging.levels[-1]
        self._last_shift = last.shift
        self._last_mask = (1 << last.bits) - 1
        self._above_last = last.shift + last.bits
        self._last_tables: dict[int, array[int]] = {}
        self._tables: dict[tuple[int, int], array[int]] = {}
        self._remembered = 0

    def translate(self, address: int, length: int) -> Mapped:
        """As Translator.translate; the Fault's level counts from 1, the last table's."""
        slot = self._slot(address)
        mapped = self._mapped(slot, address, length)
        if mapped is None:
            raise self._absent(address, slot)
        return mapped

    def pages(self, address: int, size: int, count: int) -> Sequence[int]:
        """As Translator.pages."""
        slot = self._slot(address)
        found = self._leaves.pages(slot, address, size, count)
        if found is None:
            raise self._absent(address, slot)
        return found

    def _slot(self, address: int) -> Slot:
        """The entry that says where the address lies."""
        table = self._last_tables.get(address >> self._above_last)
        if table is None:
            return self._walk(address)
        return table, address >> self._last_shift & self._last_mask, self._last_shift

    def _walk(self, address: int) -> Slot:
        """The entry that ends the walk."""
        for _, slot in self._descend(address):
            last = slot
        if last[2] == self._last_shift:
            self._remember(address >> self._above_last, last[0])
        return last

    def trace(self, address: int) -> Iterator[Step]:
        """As Translator.trace: a step a table."""
        level = len(self._paging.levels)
        for at, (table, index, _) in self._descend(address):
            yield Step(f"page table of level {level}", at, index, table[index])
            level -= 1

    def _descend(self, address: int) -> Iterator[tuple[int, Slot]]:
        """Where each table lies, and the address's entry in it, from the root down."""
        if not 0 <= address < ADDRESSES or (address - self._first) % ADDRESSES >= self._span:
            raise Fault(
                address, f"no address that page tables of form {self._paging.name} translate"
            )
        at = self._root
        for shift, bits in self._paging.levels:
            table = self._table(at, shift, bits, address)
            index = address >> shift & ((1 << bits) - 1)
            yield at, (table, index, shift)
            entry = self._decode(table[index], shift)
            if entry is None or entry.size:
                return
            at = entry.address

    def _remember(self, upper: int, table: array[int]) -> None:
        if len(self._last_tables) >= MOST_REMEMBERED >> 4:
            self._last_tables.clear()
        self._last_tables[upper] = table

    def mappings(self) -> Iterator[Mapping]:
        """As Translator.mappings: each page that an entry maps, of that entry's size.

        Errors: FormatError after more tables than a kernel can have.
        """
        root = _Table(0, self._root, self._paging.base, READ | WRITE | EXECUTE, ())
        return self._list(root, set())

    def _list(self, here: _Table, seen: set[tuple[int, int]]) -> Iterator[Mapping]:
        inside = (*here.inside, here.at)
        size = 1 << self._paging.levels[here.depth].shift
        for address, entry in self._present(here):
            allowed = entry.protection & here.allowed
            if entry.size:
                # an entry of a larger page says where that starts, in each of its slots
                physical = entry.address + (address & (entry.size - 1))
                yield Mapping(address, physical, size, allowed)
            elif entry.address not in inside and (here.depth, entry.address) not in seen:
                seen.add((here.depth, entry.address))
                if len(seen) > MOST_TABLES:
                    raise FormatError(f"page tables at {self._root:#x}: more than {MOST_TABLES}")
                below = _Table(here.depth + 1, entry.address, address, allowed, inside)
                yield from self._list(below, seen)

    def _present(self, here: _Table) -> Iterator[tuple[int, Entry]]:
        """The table's entries that say something, each with the address that it is for."""
        shift, bits = self._paging.levels[here.depth]
        halves = self._paging.signed and not here.depth
        try:
            table = self._table(here.at, shift, bits, here.base)
        except Fault:
            return
        for index, raw in enumerate(table):
            entry = self._decode(raw, shift) if raw else None
            if entry is not None:
                high = halves and index >> (bits - 1)
                base = ADDRESSES - self._span if high else here.base
                yield base + (index << shift), entry

    def _table(self, at: int, shift: int, bits: int, address: int) -> array[int]:
        """The table at physical ``at``; Fault naming ``address`` where it is not in the dump."""
        table = self._tables.get((at, shift))
        if table is None:
            if self._remembered > MOST_REMEMBERED:
                self._forget()
            try:
                data = self._memory.read(at, self._paging.entry_size << bits)
            except Fault as e:
                raise self._fault(address, shift, f"at {at:#x} is not in the dump") from e
            table = self._paging.table(data)
            self._tables[at, shift] = table
            self._remembered += len(table)
        return table

    def _forget(self) -> None:
        self._tables.clear()
        self._last_tables.clear()
        self._remembered = 0

    def _absent(self, address: int, slot: Slot) -> Fault:
        table, index, shift = slot
        return self._fault(address, shift, self._paging.elsewhere if table[index] else NO_PAGE)

    def _fault(self, address: int, shift: int, reason: str) -> Fault:
        shifts = [level.shift for level in self._paging.levels]
        level = len(shifts) - shifts.index(shift)
        return Fault(address, f"its page table of level {level} {reason}", level)
