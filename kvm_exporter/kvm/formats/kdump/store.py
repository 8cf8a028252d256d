"""How are a kdump's pages read?  Unpacked as they are needed, and the last few kept.

1. The pages of all files follow each other in the store, as their bits are set: page number n lies
   at n * page size.  The n-th descriptor tells where it is in its file.
2. Descriptors are read by the dozen, and what is packed side by side with one read.
3. Pages that are equal share their bytes: makedumpfile and QEMU write one page of zeros for all.
4. A page that cannot be had ends a read; it is a Fault where it is the first.
"""

from __future__ import annotations

import struct
import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kvm_exporter.kvm.errors import AccessDenied, Fault, FormatError
from kvm_exporter.kvm.formats.kdump.members import Member, Members
from kvm_exporter.kvm.formats.kdump.unpacking import Unpack, unpacker
from kvm_exporter.kvm.source import Source, exactly

KEPT = 8 << 20
"""Bytes of pages kept of either age: twice as many at most."""

AT_ONCE = 1 << 20
"""Bytes of pages unpacked at once."""

DESCRIPTOR = "qII8x"
"""page_desc_t: offset, size, flags, and the page's flags in the kernel (0 as a rule)."""


class Packed(NamedTuple):
    """Where a page's bytes lie in its file, and how they are packed."""

    offset: int
    size: int
    kind: int


NOWHERE = Packed(-1, 0, 0)


class PageStore:
    """A Source of all pages in the files; ``zeros`` adds one of zeros behind them.

    Closing it closes the files.
    """

    def __init__(self, members: Members, *, zeros: bool) -> None:
        lead, header = members.files[0]
        self.name = lead.name
        self._members = members
        self._page_size = header.words.block_size
        self._mask = self._page_size - 1
        self._shift = self._page_size.bit_length() - 1
        self._count = members.starts[-1]
        self.size = self._count + zeros << self._shift
        self._descriptor = struct.Struct(header.order + DESCRIPTOR)
        self._unpackers: dict[int, Unpack] = {}
        self._young: dict[int, bytes] = {}
        self._old: dict[int, bytes] = {}
        self._repeated: list[tuple[Packed, bytes]] = [(NOWHERE, b"")] * len(members.files)
        self._lock = threading.Lock()

    def read(self, offset: int, length: int) -> bytes:
        """As Source.read, but short at a page that cannot be had; Fault where that is the first."""
        within = offset & self._mask
        if 0 < length <= self._page_size - within:
            page = self._young.get(offset >> self._shift)
            if page is not None:
                return page[within : within + length]
        end = min(offset + length, self.size)
        if not 0 <= offset < end:
            return b""
        first, last = offset >> self._shift, end - 1 >> self._shift
        with self._lock:
            pages = [self._kept(first)] if first == last else self._several(first, last)
        if len(pages) == 1:
            return pages[0][within : within + end - offset]
        data = b"".join(pages)
        return data if not within and len(data) == end - offset else data[within:][: end - offset]

    def packed(self, offset: int) -> tuple[str, Packed]:
        """Where the page at an offset is packed: the name of the file, and the place in that.

        Errors: FormatError for a damaged descriptor, and for what is in no file (rule 2 of
        physical.py).
        """
        index = offset >> self._shift
        if not 0 <= index < self._count:
            raise FormatError(f"{self.name}: no page of its own lies at {offset:#x} of the store")
        number = bisect_right(self._members.starts, index) - 1
        member = self._members.files[number]
        [row] = self._descriptors(member, index - self._members.starts[number], 1)
        return member.source.name, row

    def _kept(self, index: int) -> bytes:
        """A page, from now on a young one."""
        page = self._young.get(index) or self._old.get(index)
        if page is None:
            (page,) = self._unpacked(index, 1)
        self._keep(index, page)
        return page

    def _keep(self, index: int, page: bytes) -> None:
        if len(self._young) << self._shift >= KEPT:
            self._old, self._young = self._young, {}
        self._young[index] = page

    def _several(self, first: int, last: int) -> list[bytes]:
        """Pages ``first`` to ``last``, up to one that cannot be had; Fault if that is the first.

        The last one is kept: the next read may want the rest of it.
        """
        pages: list[bytes] = []
        most = max(AT_ONCE >> self._shift, 1)
        while (at := first + len(pages)) <= last:
            try:
                pages += self._unpacked(at, min(last - at + 1, most))
            except Fault:
                if not pages:
                    raise
                break
        self._keep(first + len(pages) - 1, pages[-1])
        return pages

    def _unpacked(self, first: int, count: int) -> list[bytes]:
        """Up to ``count`` pages, one at least; Fault where the first cannot be had."""
        if first >= self._count:
            return [bytes(self._page_size)]
        number = bisect_right(self._members.starts, first) - 1
        start, end = self._members.starts[number : number + 2]
        member = self._members.files[number]
        pages: list[bytes] = []
        try:
            rows = self._descriptors(member, first - start, min(count, end - first))
            pages.extend(self._pages(number, rows))  # those before a damaged one stay in
        except FormatError as e:
            if not pages:
                address = self._members.kept.address(first << self._shift)
                raise Fault(address, f"its page cannot be had: {e}") from e
        return pages

    def _descriptors(self, member: Member, first: int, count: int) -> list[Packed]:
        """Those of ``count`` pages of a file, fewer where the file ends; FormatError if none."""
        source, header = member
        size = self._descriptor.size
        at = header.descriptors_at + first * size
        whole = min(count, (source.size - at) // size)
        data = exactly(source, at, max(whole, 1) * size, "the descriptors of its pages")
        return [Packed._make(row) for row in self._descriptor.iter_unpack(data)]

    def _pages(self, file: int, rows: Sequence[Packed]) -> Iterator[bytes]:
        """What the rows of a file describe, up to the first that is damaged: FormatError."""
        source = self._members.files[file].source
        repeated, again = self._repeated[file]
        data, at, end, before = b"", 0, 0, 0
        for number, row in enumerate(rows):
            if row == repeated:
                yield again
                continue
            offset, size, _ = row
            if not at <= offset < offset + size <= end:
                end = self._reach(source, rows, number)
                at, data = offset, exactly(source, offset, end - offset, "its pages")
            page = self._unpack(source, row, data[offset - at : offset - at + size])
            if offset <= before:
                repeated, again = self._repeated[file] = row, page
            before = offset
            yield page

    def _reach(self, source: Source, rows: Sequence[Packed], number: int) -> int:
        """Where what lies side by side ends, from a row's place on; FormatError if not there."""
        offset, size, _ = rows[number]
        if not offset and not size:
            raise FormatError(f"{source.name}: it was never written: the dump is incomplete")
        if offset <= 0 or not 0 < size <= self._page_size or offset + size > source.size:
            raise FormatError(
                f"{source.name}: {size:#x} bytes at {offset:#x}, where the file has "
                f"{source.size:#x}: it is truncated or damaged"
            )
        end = offset + size
        for row in rows[number + 1 :]:
            if row.offset != end or row.size > self._page_size or end + row.size > source.size:
                break
            end += row.size
        return end

    def _unpack(self, source: Source, row: Packed, data: bytes) -> bytes:
        """The page that a row describes; FormatError."""
        unpack = self._unpackers.get(row.kind) or self._new_unpacker(source, row)
        try:
            page = unpack(data)
        except FormatError as e:
            raise FormatError(f"{source.name}: damaged at {row.offset:#x}: {e}") from e
        if len(page) != self._page_size:
            raise FormatError(
                f"{source.name}: damaged at {row.offset:#x}: {len(page)} bytes of a page's "
                f"{self._page_size}"
            )
        return page

    def _new_unpacker(self, source: Source, row: Packed) -> Unpack:
        try:
            made = unpacker(source.name, row.kind, self._page_size)
        except FormatError as e:
            raise FormatError(f"{source.name}: the page at {row.offset:#x} has {e}") from e
        self._unpackers[row.kind] = made
        return made

    def write(self, offset: int, data: bytes) -> int:
        """As Source.write: not possible."""
        raise AccessDenied(
            f"{self.name}: cannot write {len(data)} bytes at {offset:#x} of a kdump file"
        )

    def close(self) -> None:
        """As Source.close."""
        for source, _ in self._members.files:
            source.close()
