"""Where in the store is a physical page, and why is it not there if it is not?

1. Pages that makedumpfile was told to leave out have a bit in the first bitmap, that of memory, but
   none in the second.  Why each of them was left out, nothing tells: only which reasons there were.
2. Pages of zeros are left out of no kdump file: they share one page of it (makedumpfile's pd_zero).
   Where all the same zeros were the only reason (level 1, of the oldest files), a page that was
   left out is read as zeros.
3. Pages of a file of a split set that is not there have bits in its bitmap all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kvm_exporter.kvm.errors import Fault, Filtered, KvmError
from kvm_exporter.kvm.formats.kdump.losses import lost
from kvm_exporter.kvm.formats.kdump.members import Members, gaps
from kvm_exporter.kvm.space import Extent, Stored

ZEROS = 1
"""The bit of a dump level that leaves out pages of zeros."""

LEFT_OUT = ("zeros", "page cache", "private page cache", "user data", "free pages")
"""What each bit of a dump level leaves out, from the lowest on (makedumpfile(8), -d)."""


def left_out(level: int) -> str:
    """A dump level in words."""
    return ", ".join(word for bit, word in enumerate(LEFT_OUT) if level >> bit & 1)


class KdumpMemory:
    """The memory of a kdump: a space.Physical, whose offsets are those of its store."""

    def __init__(self, members: Members) -> None:
        self._files = members.files
        self._kept = members.kept
        self._lead = members.files[0]
        self._page_size = self._lead.header.words.block_size
        self._zeros = members.starts[-1] * self._page_size
        self._gaps = tuple(gaps(members.files))
        self._starts = members.starts

    @property
    def missing(self) -> int:
        """As Physical.missing."""
        pages = sum(
            lost(member, self._starts[number + 1] - self._starts[number])
            for number, member in enumerate(self._files)
        )
        return pages * self._page_size

    @property
    def zeros(self) -> bool:
        """Whether pages that were left out are zeros (rule 2)."""
        return self._lead.header.level == ZEROS

    def find(self, address: int, length: int) -> Stored:
        """As Physical.find; Filtered for a page that was left out."""
        try:
            return self._kept.find(address, length)
        except Fault:
            within = address % self._page_size
            if self.zeros and self._was_memory(address):
                return Stored(self._zeros + within, min(length, self._page_size - within))
        raise self._absent(address)

    def offsets(self, pages: Iterable[int], size: int) -> list[int]:
        """As Physical.offsets."""
        return self._kept.offsets(pages, size)

    def extents(self) -> Iterator[Extent]:
        """As Physical.extents."""
        return self._kept.extents()

    def _absent(self, address: int) -> Fault:
        """Why a page is not there."""
        page = address // self._page_size
        for first, end in self._gaps:
            if first <= page < end:
                return Fault(
                    address,
                    f"pages {first:#x} to {end:#x} of the split dump are in a file not given",
                )
        if self._was_memory(address):
            level = self._lead.header.level or 0
            return Filtered(
                address, f"its page was left out of the dump (level {level}: {left_out(level)})"
            )
        return Fault(address, "no memory that the dump knows of")

    def _was_memory(self, address: int) -> bool:
        """Whether the first bitmap has the page (rule 1)."""
        source, header = self._lead
        page = address // self._page_size
        if not header.partial or not 0 <= page < header.pages:
            return False
        try:
            bits = source.read(header.bitmap_at + (page >> 3), 1)
        except KvmError:
            return False
        return bool(bits and bits[0] >> (page & 7) & 1)
