"""What of a core's memory was left out on purpose?  Parts of segments that the file has not.

1. makedumpfile -E writes a segment up to where it leaves out a mebibyte or more (p_filesz <
   p_memsz).  Why, nothing tells: pages of zeros, of the page cache, of users, or free ones.
2. Of the kernel's own data there is one possible reason: zeros.  Nobody but the kernel knows where
   that is, so ``with_zeros`` is told once the kernel is found.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import replace

from kvm_exporter.kvm.errors import Fault, Filtered
from kvm_exporter.kvm.formats.model import Image
from kvm_exporter.kvm.segments import Segments
from kvm_exporter.kvm.source import Source
from kvm_exporter.kvm.space import Extent, Stored

ZEROS_AT = 1 << 62
"""Offset of a Zeroed source from which on there are zeros: behind the end of any file."""


class HoledSegments:
    """Segments with ``holes`` (start, end): a space.Physical, which knows what was left out.

    What was left out from ``zeros`` to its end lies at ZEROS_AT.
    """

    def __init__(
        self,
        segments: Segments,
        holes: Iterable[tuple[int, int]],
        zeros: range = range(0),
    ) -> None:
        self._segments = segments
        self._holes = sorted(holes)
        self._starts = [start for start, _ in self._holes]
        self._zeros = zeros

    def zeroed(self, zeros: range) -> HoledSegments:
        """The same, with zeros in these addresses."""
        return HoledSegments(self._segments, self._holes, zeros)

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
        if address in self._zeros:
            left = min(self._holes[at][1], self._zeros.stop) - address
            return Stored(ZEROS_AT + address - self._zeros.start, min(length, left))
        raise Filtered(address, "its page was left out of the dump")

    def offsets(self, pages: Iterable[int], size: int) -> list[int]:
        """As Physical.offsets."""
        return self._segments.offsets(pages, size)

    def extents(self) -> Iterator[Extent]:
        """As Physical.extents."""
        return self._segments.extents()


class Zeroed:
    """A source with zeros from ZEROS_AT on."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.name = source.name
        self.size = source.size
        self.write = source.write
        self.close = source.close

    def read(self, offset: int, length: int) -> bytes:
        """As Source.read."""
        return bytes(length) if offset >= ZEROS_AT else self._source.read(offset, length)


def with_zeros(image: Image, source: Source, start: int, end: int) -> Image:
    """``image``, in which what was left out of physical memory from ``start`` to ``end`` is zeros.

    ``source`` is the file.  An image without holes (rule 1) comes back as it is: kdump files have
    pages of zeros.
    """
    if not isinstance(image.physical, HoledSegments):
        return image
    physical = image.physical.zeroed(range(start, max(start, end)))
    return replace(image, physical=physical, store=Zeroed(source))
