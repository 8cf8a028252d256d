"""Which pages does a dump hold, and where are they mapped?  What kvm_walk_pages(3) visits.

1. First every mapping of the kernel's map, by rising virtual address: a page that is mapped twice
   comes twice.  A superpage is one entry if its memory lies together in the file.
2. Then every page of the file that no mapping led to: it is in the direct map only, if in any.
   (libkvm visits pages again that were in the first part, and on arm64 and riscv none of these.)
3. A mapped page that the file does not hold has no offset (device memory, for one).
4. One bit is kept for each page of the file, nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kvm_exporter.kvm.errors import Fault
from kvm_exporter.kvm.formats.model import Image
from kvm_exporter.kvm.space import READ, WRITE, Extent, Mapping, Translator

MOST_MISSES = 1 << 20
"""Pages looked for in vain, in superpages of which a part is; the rest counts as missing."""

MOST_MARKS = 1 << 30
"""Pages of the file that can be remembered, 128 MB: four terabytes; those behind come twice."""


class Page(NamedTuple):
    """A page, or a run that is mapped as one: struct kvm_page of kvm.h.

    ``kernel_address`` is None for what only the direct map has, ``direct_address`` for what the
    direct map does not reach, ``offset`` (of the file) for what the dump does not hold.
    ``protection`` is of space.READ, WRITE, EXECUTE; the direct map's is READ | WRITE.
    """

    physical: int
    kernel_address: int | None
    direct_address: int | None
    protection: int
    offset: int | None
    length: int


def pages(image: Image, translator: Translator) -> Iterator[Page]:
    """Every page; the rules above.  Lengths are in bytes."""
    return _Walk(image, translator).pages()


class _Walk:
    """One walk: what it has seen so far."""

    def __init__(self, image: Image, translator: Translator) -> None:
        self._image = image
        self._translator = translator
        self._find = image.physical.find
        self._direct = image.direct
        self._shift = image.page_size.bit_length() - 1
        self._seen = bytearray()
        self._misses = MOST_MISSES

    def pages(self) -> Iterator[Page]:
        """The two parts, one after the other."""
        windows = [(one.base, one.end) for one in self._image.windows]
        for mapping in self._translator.mappings():
            if not any(base <= mapping.virtual < end for base, end in windows):
                yield from self._mapped(mapping)
        for extent in self._image.physical.extents():
            yield from self._unmapped(extent)

    def _mapped(self, mapping: Mapping) -> Iterator[Page]:
        """A mapping as one page, or cut where the file has a part of it elsewhere or not at all."""
        virtual, physical, length, protection = mapping
        while length > 0:
            offset, run = self._stored(physical, length)
            if offset is not None:
                self._mark(offset >> self._shift, offset + run - 1 >> self._shift)
            yield Page(physical, virtual, self._direct(physical), protection, offset, run)
            virtual += run
            physical += run
            length -= run

    def _stored(self, physical: int, length: int) -> tuple[int | None, int]:
        """Where the file has it and how much there; None and the length of the hole."""
        try:
            return self._find(physical, length)
        except Fault:
            hole = 1 << self._shift
        while hole < length and self._misses > 0 and not self._has(physical + hole):
            self._misses -= 1
            hole += 1 << self._shift
        return None, min(hole, length) if self._misses > 0 else length

    def _has(self, physical: int) -> bool:
        try:
            self._find(physical, 1)
        except Fault:
            return False
        return True

    def _unmapped(self, extent: Extent) -> Iterator[Page]:
        """The pages of a run that are not marked."""
        physical, offset, length = extent
        size, shift, seen = 1 << self._shift, self._shift, self._seen
        known = len(seen) << 3
        for at in range(offset, offset + length, size):
            number = at >> shift
            if number >= known or not seen[number >> 3] >> (number & 7) & 1:
                direct = self._direct(physical)
                protection = 0 if direct is None else READ | WRITE
                left = min(size, offset + length - at)
                yield Page(physical, None, direct, protection, at, left)
            physical += size

    def _mark(self, first: int, last: int) -> None:
        """Remember pages of the file, by number."""
        seen = self._seen
        if last >= MOST_MARKS:
            return
        if last >> 3 >= len(seen):
            # a half more than is needed, as lists grow
            seen.extend(bytes((last >> 3) + (last >> 4) + 1 - len(seen)))
        for number in range(first, last + 1):
            seen[number >> 3] |= 1 << (number & 7)
