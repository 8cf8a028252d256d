"""What of a core's memory was left out on purpose?  Parts of segments that the file has not.

makedumpfile -E writes a segment up to where it leaves out a mebibyte or more (p_filesz < p_memsz).
Why, nothing tells: pages of zeros, of the page cache, of users, or free ones.  So none of it is
taken for zeros here; of the kernel's own data there is one reason only, and dead/zeros.py knows
where that lies.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from kvm_exporter.kvm.errors import Fault, Filtered
from kvm_exporter.kvm.segments import Segments
from kvm_exporter.kvm.space import Extent, Stored


class HoledSegments:
    """Segments with ``holes`` (start, end): a space.Physical, which knows what was left out."""

    def __init__(self, segments: Segments, holes: Iterable[tuple[int, int]]) -> None:
        self._segments = segments
        self._holes = sorted(holes)
        self._starts = [start for start, _ in self._holes]

    @property
    def missing(self) -> int:
        """As Physical.missing."""
        return self._segments.missing

    def find(self, address: int, length: int) -> Stored:
        """As Physical.find; Filtered in a hole."""
        try:
            return self._segments.find(address, length)
        except Fault:
            at = bisect_right(self._starts, address) - 1
            if at < 0 or address >= self._holes[at][1]:
                raise
        raise Filtered(address, "its page was left out of the dump")

    def offsets(self, pages: Iterable[int], size: int) -> list[int]:
        """As Physical.offsets."""
        return self._segments.offsets(pages, size)

    def extents(self) -> Iterator[Extent]:
        """As Physical.extents."""
        return self._segments.extents()
