"""Where is physical memory in a file of segments?  Full dumps, and raw memory as one segment."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from kvm_exporter.kvm.errors import Fault
from kvm_exporter.kvm.space import Extent, Stored


class Segments:
    """Runs of memory in a file of ``size`` bytes, in any order: a space.Physical.

    Where two of them have the same address, the one that starts first counts (a damaged file's
    overlap); what lies past the end of the file (a truncated dump) does not.
    """

    def __init__(self, extents: Iterable[Extent], size: int) -> None:
        listed = sorted(extents)
        self._extents = list(_joined(_apart(_inside(listed, size))))
        self._outside = [one for one in listed if one.offset + one.length > size]
        self._size = size
        self._starts = [extent.address for extent in self._extents]

    @property
    def missing(self) -> int:
        """As Physical.missing."""
        ends = ((one.offset + one.length, max(one.offset, self._size)) for one in self._outside)
        return sum(end - reached for end, reached in ends)

    def find(self, address: int, length: int) -> Stored:
        """As Physical.find."""
        index = bisect_right(self._starts, address) - 1
        if index >= 0:
            start, offset, size = self._extents[index]
            if address - start < size:
                return Stored(offset + address - start, min(length, size - (address - start)))
        raise Fault(address, "no segment of the dump has it")

    def offsets(self, pages: Iterable[int], size: int) -> list[int]:
        """As Physical.offsets."""
        found: list[int] = []
        here = Extent(0, 0, 0)
        for page in pages:
            if not here.address <= page < here.address + here.length:
                index = bisect_right(self._starts, page) - 1
                here = self._extents[index] if index >= 0 else here
            within = page - here.address
            if not 0 <= within <= here.length - size:
                break
            found.append(here.offset + within)
        return found

    def extents(self) -> Iterator[Extent]:
        """As Physical.extents."""
        return iter(self._extents)

    def cut_off(self, address: int) -> bool:
        """Whether a segment has the address, but of its place in the file the file ends short."""
        offsets = (
            one.offset + address - one.address
            for one in self._outside
            if 0 <= address - one.address < one.length
        )
        return any(offset >= self._size for offset in offsets)


def _inside(extents: Iterable[Extent], size: int) -> Iterator[Extent]:
    """What the file has of them."""
    for address, offset, length in extents:
        left = min(length, size - offset)
        if left > 0:
            yield Extent(address, offset, left)


def _apart(extents: Iterable[Extent]) -> Iterator[Extent]:
    """Without what an earlier one has already."""
    reached = 0
    for address, offset, length in extents:
        cut = max(reached - address, 0)
        if length > cut:
            yield Extent(address + cut, offset + cut, length - cut)
            reached = address + length


def _joined(extents: Iterable[Extent]) -> Iterator[Extent]:
    """Neighbours in memory that are neighbours in the file too become one."""
    last = Extent(0, 0, 0)
    for address, offset, length in extents:
        if last.address + last.length == address and last.offset + last.length == offset:
            last = last._replace(length=last.length + length)
            continue
        if last.length:
            yield last
        last = Extent(address, offset, length)
    if last.length:
        yield last
