"""How is memory put together from pieces?  Physical pages of a file, and addresses over them.

1. A Physical says where in the file a physical address lies, a run at a time; a Translator which
   physical run a virtual address means.  Both raise Fault where there is nothing.
2. VirtualMemory joins the two.  It remembers where pages lie in the file, so that the next small
   read on the same page is one look-up and one pread.
3. Runs are as long as they come (a superpage, a stretch of set bits), so a large read costs a few
   preads, not one a page.
4. Where runs are short, pages are located by the dozen: as numbers in lists, without a Fault or a
   tuple for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from typing import NamedTuple, NewType, Protocol

from kvm_exporter.kvm.errors import Fault, FormatError
from kvm_exporter.kvm.memory import Place
from kvm_exporter.kvm.source import Source

PhysAddr = NewType("PhysAddr", int)
VirtAddr = NewType("VirtAddr", int)

READ, WRITE, EXECUTE = 1, 2, 4
"""Protection bits, as kvm_walk_pages(3)'s kp_prot has them (sys/vm/vm.h, VM_PROT_*)."""

MOST_PAGES = 1 << 16
"""Remembered pages; then all are forgotten.  Some 10 MB at most."""

AT_ONCE = 64
"""Pages that are located together."""

SHORT_RUN = 8
"""Pages: after a run of fewer, the next pages are located together."""

PIECE = 1 << 16
"""Bytes read at once for a read that is put together."""

MOST_BYTES = 1 << 30
"""Read at once at most; a larger request is the caller's mistake, or a damaged length's."""


class Stored(NamedTuple):
    """``length`` bytes from a physical address on lie together at ``offset`` of the file."""

    offset: int
    length: int


class Mapped(NamedTuple):
    """``length`` bytes from a virtual address on are those from physical ``address`` on."""

    address: int
    length: int

    def pages(self, size: int) -> range:
        """The addresses of the whole pages of ``size`` bytes in it."""
        return range(self.address, self.address + self.length - size + 1, size)


class Extent(NamedTuple):
    """A run of physical memory that the file holds."""

    address: int
    offset: int
    length: int


class Mapping(NamedTuple):
    """A run of virtual memory: ``protection`` is of READ, WRITE, EXECUTE."""

    virtual: int
    physical: int
    length: int
    protection: int


class Step(NamedTuple):
    """One step on the way from a virtual address to a physical one, for people.

    ``place`` says what was looked at: a table, a direct map.  Of a table: ``at``, where it lies in
    physical memory (None: in the file, not in memory), the ``number`` of the address's entry in it,
    and what this ``entry`` is.
    """

    place: str
    at: int | None = None
    number: int | None = None
    entry: int | None = None


class Physical(Protocol):
    """Where the file has physical memory."""

    @property
    def missing(self) -> int:
        """Bytes of memory whose place is past the end of the file: a truncated dump's."""

    def find(self, address: int, length: int) -> Stored:
        """The place of ``address``, and how much of ``length`` lies together; Fault if none."""

    def offsets(self, pages: Iterable[int], size: int) -> list[int]:
        """Where pages of ``size`` bytes start, up to the first of which not all lies together."""

    def extents(self) -> Iterator[Extent]:
        """All that the file holds, by rising address."""


class Translator(Protocol):
    """Which physical address a virtual one means."""

    def translate(self, address: int, length: int) -> Mapped:
        """The run from ``address`` on, at most ``length``; Fault where no entry leads on."""

    def pages(self, address: int, size: int, count: int) -> Sequence[int]:
        """The physical addresses of up to ``count`` pages of ``size`` bytes, from ``address`` on.

        Fewer where it is easier, at a table's end for one; those that are not mapped may have
        addresses that no memory has, but for the first.  Fault as translate.
        """

    def mappings(self) -> Iterator[Mapping]:
        """Every run that is mapped, by rising virtual address; damaged tables are left out."""

    def trace(self, address: int) -> Iterator[Step]:
        """How ``translate`` finds an address, a step at a time; as far as it gets.  Fault."""


class PhysicalMemory:
    """Physical memory that lies in ``source`` where ``physical`` says."""

    def __init__(self, source: Source, physical: Physical) -> None:
        self._source = source
        self._physical = physical

    def read(self, address: int, length: int) -> bytes:
        """``length`` bytes; Fault naming the first that is not there."""
        parts = []
        while length > 0:
            stored = self._physical.find(address, length)
            data = self._source.read(stored.offset, stored.length)
            if not data:
                raise Fault(address, f"{self._source.name} ends before its page")
            parts.append(data)
            address += len(data)
            length -= len(data)
        return b"".join(parts)


class VirtualMemory:
    """Virtual memory (memory.py's Memory) of a dump."""

    def __init__(
        self, source: Source, physical: Physical, translator: Translator, page_size: int
    ) -> None:
        self._source = source
        self._physical = physical
        self._translator = translator
        self._size = page_size
        self._mask = page_size - 1
        self._shift = page_size.bit_length() - 1
        self._read = source.read
        self._pages: dict[int, int] = {}

    def read(self, address: int, length: int) -> bytes:
        """As Memory.read: short where a page is missing, Fault where the first one is."""
        within = address & self._mask
        if 0 < length <= self._size - within:
            page = address - within
            offset = self._pages.get(page)
            if offset is None:
                offset = self._whole_page(page)
            if offset is not None:
                try:
                    data = self._read(offset + within, length)
                except Fault as e:
                    raise _virtual(address, e) from e
                if data:
                    return data
        elif 0 < length <= self._size:
            return self._read_across(address, self._size - within, length)
        return self._read_runs(address, length)

    def _read_across(self, address: int, near: int, length: int) -> bytes:
        """What two pages have: ``near`` bytes in the first."""
        data = self.read(address, near)
        if len(data) < near:
            return data
        try:
            return data + self.read(address + near, length - near)
        except Fault:
            return data

    def _whole_page(self, page: int) -> int | None:
        """Where the page lies, remembered; None unless all of it lies together."""
        offsets = self._located(page, 1)
        if not offsets:
            return None
        if len(self._pages) >= MOST_PAGES:
            self._pages.clear()
        offset = self._pages[page] = offsets[0]
        return offset

    def _located(self, page: int, count: int) -> list[int]:
        """Where whole pages from ``page`` on lie; none where it takes ``locate`` to tell."""
        try:
            addresses = self._translator.pages(page, self._size, count)
        except Fault:
            return []
        return self._physical.offsets(addresses, self._size)

    def _read_runs(self, address: int, length: int) -> bytes:
        if not 0 <= length <= MOST_BYTES:
            raise FormatError(f"a read of {length} bytes at {address:#x}: at most {MOST_BYTES}")
        if not length:
            return b""
        runs = _together(self._runs(address, length))
        try:
            data = self._read(*runs[0]) if len(runs) == 1 else self._gather(runs)
        except Fault as e:
            raise _virtual(address, e) from e
        if not data:
            raise Fault(address, f"{self._source.name} ends before its page")
        return data

    def _gather(self, runs: Sequence[tuple[int, int]]) -> bytes:
        """The bytes of the runs, up to where the file ends.

        Memory that is fresh from the system costs more than reading into it.  So there is room for
        all from the start, and what is read on the way fits into memory just used.
        """
        data = BytesIO()
        data.seek(sum(size for _, size in runs) - 1)
        data.write(b"\0")
        data.seek(0)
        for offset, size in runs:
            done = 0
            while done < size:
                count = data.write(self._piece(offset + done, min(size - done, PIECE), data.tell()))
                if not count:
                    data.truncate()
                    return data.getvalue()
                done += count
        return data.getvalue()

    def _piece(self, offset: int, size: int, before: int) -> bytes:
        """Some of the bytes; none where those of a page cannot be had, with ``before`` it."""
        try:
            return self._read(offset, size)
        except Fault:
            if not before:
                raise
            return b""

    def _runs(self, address: int, length: int) -> Iterator[tuple[int, int]]:
        """(offset, length) of the bytes, up to the first not there; Fault if that is the first."""
        end = address + length
        at = address
        while at < end:
            try:
                stored = self.locate(at, end - at)
            except Fault:
                if at == address:
                    raise
                return
            yield stored
            at += stored.length
            pages = end - at >> self._shift
            if pages > 0 and stored.length < self._size * SHORT_RUN and not at & self._mask:
                offsets = self._located(at, min(pages, AT_ONCE))
                for offset in offsets:
                    yield offset, self._size
                at += len(offsets) * self._size

    def locate(self, address: int, length: int) -> Stored:
        """Where in the file ``address`` lies, and how much of ``length`` with it; Fault."""
        mapped = self._translator.translate(address, length)
        try:
            return self._physical.find(mapped.address, mapped.length)
        except Fault as e:
            raise _virtual(address, e) from e

    def write(self, address: int, data: bytes) -> int:
        """As Memory.write; AccessDenied unless the source was opened for writing."""
        done = 0
        for offset, size in self._runs(address, len(data)):
            count = self._source.write(offset, data[done : done + size])
            done += count
            if count < size:
                break
        return done

    def place(self, address: int) -> Place:
        """As Memory.place; of the dump as it is when it is unwrapped."""
        return Place(self._source.name, self.locate(address, 1).offset)

    def close(self) -> None:
        """Give the file back."""
        self._source.close()


def _virtual(address: int, fault: Fault) -> Fault:
    """A physical address's fault as that of the virtual one."""
    return type(fault)(address, f"physical {fault}")


def _together(runs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Runs that follow each other in the file as one: a read each costs more than joining them."""
    found = []
    at = size = 0
    for offset, length in runs:
        if offset == at + size:
            size += length
            continue
        if size:
            found.append((at, size))
        at, size = offset, length
    if size:
        found.append((at, size))
    return found
