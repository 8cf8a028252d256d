"""Which pages has a minidump, and where in the file?  A bitmap with its ranks counted beforehand.

1. The bitmap has a bit for each page of the physical ranges that dump_avail lists, one range after
   the other; without dump_avail (older dumps) for each page from address 0 on.
2. The pages whose bits are set lie in the file in the order of their bits.
3. ``_ranks`` holds, for each word of 64 bits, how many bits are set before it: one look-up and one
   count of bits tell where a page lies (lib/libkvm/kvm_private.c, _kvm_pt_find).
4. Unlike there, an address between two ranges is nobody's: it has no bit.

Sources: sys/vm/vm_dumpset.h, sys/kern/kern_dump.c, sys/<arch>/<arch>/minidump_machdep.c.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from operator import attrgetter
from typing import Literal, NamedTuple

from kvm_exporter.kvm.errors import Fault
from kvm_exporter.kvm.space import Extent, Stored

BITS = 64
ALL = (1 << BITS) - 1
NO_RANGES = ((0, 1 << 64),)
"""Without dump_avail: bit = address / page size."""


class Place(NamedTuple):
    """Where the pages lie: from ``offset`` of a file of ``size`` bytes on."""

    offset: int
    size: int


class _Range(NamedTuple):
    """Pages ``first`` to ``end`` (numbers, exclusive) have the bits from ``bit`` on."""

    first: int
    end: int
    bit: int


def dump_avail(
    data: bytes, order: Literal["<", ">"], width: Literal[4, 8]
) -> list[tuple[int, int]]:
    """(start, end) of each range: pairs of ``width`` bytes until one that ends at 0."""
    pair = struct.Struct(order + ("QQ" if width == 8 else "II"))
    ranges = []
    for start, end in pair.iter_unpack(data[: len(data) // pair.size * pair.size]):
        if not end:
            break
        ranges.append((start, end))
    return ranges


class PageSet:
    """The pages of a minidump: a space.Physical.

    ``bitmap`` has words of ``word`` bytes in byte order ``order``; a set bit whose page lies past
    the end of the file (a truncated dump) counts as clear.
    """

    def __init__(
        self,
        bitmap: bytes,
        place: Place,
        page_size: int,
        *,
        ranges: Iterable[tuple[int, int]] = NO_RANGES,
        order: Literal["<", ">"] = "<",
        word: Literal[4, 8] = 8,
    ) -> None:
        self._words = _words(bitmap, order, word)
        self._ranks = array("Q", accumulate(map(int.bit_count, self._words), initial=0))
        self._shift = page_size.bit_length() - 1
        self._mask = page_size - 1
        self._start, self._size = place
        self._ranges = _numbered(ranges, page_size, len(self._words) * BITS)
        self._firsts = [one.first for one in self._ranges]
        self._current = _Range(0, 0, 0)

    def __len__(self) -> int:
        """Pages whose bits are set."""
        return self._ranks[-1]

    @property
    def missing(self) -> int:
        """As Physical.missing."""
        return max(self._start + (len(self) << self._shift) - self._size, 0)

    def find(self, address: int, length: int) -> Stored:
        """As Physical.find."""
        page = address >> self._shift
        first, end, bit = self._current
        if not first <= page < end:
            here = self._range(page)
            if here is None:
                raise Fault(address, "no memory that the dump knows of")
            self._current = first, end, bit = here
        last = bit + end - first
        bit += page - first
        if not self._words[bit >> 6] >> (bit & 63) & 1:
            raise Fault(address, "its page is not in the dump")
        within = address & self._mask
        offset = self._start + (self._rank(bit) << self._shift) + within
        pages = within + length + self._mask >> self._shift
        if pages == 1 and offset + length <= self._size:
            return Stored(offset, length)
        run = (self._run(bit, min(bit + pages, last)) << self._shift) - within
        run = min(run, length, self._size - offset)
        if run <= 0 < length:
            raise Fault(address, "the dump is truncated before its page")
        return Stored(offset, run)

    def offsets(self, pages: Iterable[int], size: int) -> list[int]:
        """As Physical.offsets; none unless ``size`` is the pages'."""
        if size != 1 << self._shift:
            return []
        shift, words, ranks, start = self._shift, self._words, self._ranks, self._start
        last = self._size - size
        first, end, bit = self._current
        found: list[int] = []
        for address in pages:
            page = address >> shift
            if not first <= page < end:
                here = self._range(page)
                if here is None:
                    break
                self._current = first, end, bit = here
            at = page - first + bit
            word, this = words[at >> 6], 1 << (at & 63)
            # _rank(), without a call for each page
            offset = start + (ranks[at >> 6] + (word & this - 1).bit_count() << shift)
            if not word & this or offset > last:
                break
            found.append(offset)
        return found

    def extents(self) -> Iterator[Extent]:
        """As Physical.extents."""
        for here in self._ranges:
            bit, end = here.bit, here.bit + here.end - here.first
            while (bit := self._next(bit, end)) < end:
                run = self._run(bit, end)
                offset = self._start + (self._rank(bit) << self._shift)
                length = min(run << self._shift, self._size - offset)
                if length > 0:
                    yield Extent(bit - here.bit + here.first << self._shift, offset, length)
                bit += run

    def address(self, offset: int) -> int:
        """The physical address of the byte at ``offset``, which is in one of the pages."""
        number = offset - self._start >> self._shift
        word = bisect_right(self._ranks, number) - 1
        bits = self._words[word]
        for _ in range(number - self._ranks[word]):
            bits &= bits - 1
        bit = (word << 6) + _lowest(bits)
        here = max((one for one in self._ranges if one.bit <= bit), key=attrgetter("bit"))
        return (bit - here.bit + here.first << self._shift) + (offset - self._start & self._mask)

    def _range(self, page: int) -> _Range | None:
        found = bisect_right(self._firsts, page) - 1
        if found < 0 or page >= self._ranges[found].end:
            return None
        return self._ranges[found]

    def _rank(self, bit: int) -> int:
        """How many bits are set before ``bit``."""
        return self._ranks[bit >> 6] + (self._words[bit >> 6] & ((1 << (bit & 63)) - 1)).bit_count()

    def _run(self, bit: int, end: int) -> int:
        """How many bits are set from ``bit`` on, before ``end``."""
        words = self._words
        at = bit >> 6
        clear = ~words[at] >> (bit & 63) & ALL >> (bit & 63)
        if clear:
            return min(_lowest(clear), end - bit)
        at += 1
        last = end >> 6
        while at < last and words[at] == ALL:
            at += 1
        reached = at * BITS
        if reached < end:
            reached += _lowest(~words[at] & ALL)
        return min(reached, end) - bit

    def _next(self, bit: int, end: int) -> int:
        """The first set bit from ``bit`` on; ``end`` where there is none before."""
        if bit >= end:
            return end
        words = self._words
        at = bit >> 6
        rest = words[at] >> (bit & 63)
        if rest:
            return min(bit + _lowest(rest), end)
        at += 1
        last = (end + 63) >> 6
        while at < last and not words[at]:
            at += 1
        return min(at * BITS + _lowest(words[at]), end) if at < last else end


def _lowest(word: int) -> int:
    """The number of the lowest set bit; 64 of none."""
    return (word & -word).bit_length() - 1 if word else BITS


def _words(bitmap: bytes, order: Literal["<", ">"], word: Literal[4, 8]) -> array[int]:
    """As words of 64 bits of this machine, the first page in the lowest bit."""
    if order == ">":
        whole = len(bitmap) // word * word
        swapped = array("Q" if word == 8 else "I", bitmap[:whole])
        swapped.byteswap()
        bitmap = swapped.tobytes()
    # little-endian words of any width are the same bytes
    words = array("Q", bitmap + bytes(-len(bitmap) % 8))
    if sys.byteorder == "big":
        words.byteswap()
    return words


def _numbered(ranges: Iterable[tuple[int, int]], page_size: int, bits: int) -> list[_Range]:
    """The ranges by page numbers, sorted, cut where the bitmap ends.

    A page in which one range ends and the next one starts is the first one's.
    """
    numbered = []
    bit = 0
    for start, end in ranges:
        first, last = start // page_size, -(-end // page_size)
        pages = min(last - first, bits - bit)
        if pages > 0:
            numbered.append(_Range(first, first + pages, bit))
            bit += pages
    apart = []
    reached = 0
    for one in sorted(numbered):
        cut = max(reached - one.first, 0)
        if one.first + cut < one.end:
            apart.append(_Range(one.first + cut, one.end, one.bit + cut))
            reached = one.end
    return apart
