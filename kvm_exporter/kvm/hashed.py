"""How does a hash table turn a virtual address into a physical one?  powerpc64 before POWER9.

1. An effective address is a segment of 256 MB (ESID), a page in it and an offset.  The kernel makes
   a segment's virtual number (VSID) of its ESID: rotated by 8 bits, times 0x13bb, modulo 2**36, and
   a bit that only kernel segments have (sys/powerpc/include/slb.h, KERNEL_VSID).
2. Pages are of 4 KB, or of 16 MB in segments that are marked large.
3. VSID and page exclusive-or-ed are the hash.  Its low bits choose a group of 8 entries; the
   secondary group is that of the hash's complement.
4. An entry holds the VSID, the page's upper bits (those that the smallest table does not use for
   the group) and the physical page.  So an entry's place and contents give its address back: 0x13bb
   is odd and has an inverse.

Sources: sys/powerpc/include/pte.h (LPTEH_*, LPTEL_*), lib/libkvm/kvm_minidump_powerpc64_hpt.c;
Power ISA 2.07B, book III-S, 5.7.7.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from kvm_exporter.kvm.errors import Fault, FormatError
from kvm_exporter.kvm.space import EXECUTE, READ, WRITE, Mapped, Mapping, Step

SEGMENT_SHIFT = 28
SEGMENT_MASK = (1 << SEGMENT_SHIFT) - 1
ESID_BITS = 36
ESID_MASK = (1 << ESID_BITS) - 1
ROTATED = 8
MULTIPLIER = 0x13BB
INVERSE = pow(MULTIPLIER, -1, 1 << ESID_BITS)
KERNEL_VSID = 1 << ESID_BITS

SMALL_SHIFT, LARGE_SHIFT = 12, 24
HASH_MASK = (1 << 39) - 1
GROUP = struct.Struct(">16Q")
AT_ONCE = 1 << 10
"""Groups read together while listing: 128 KB."""

# the first word of an entry, then the second
VALID, SECONDARY, LARGE = 1 << 0, 1 << 1, 1 << 2
SIZE_256M = 0b11 << 62
"""Clear: segments of 256 MB."""
VSID_SHIFT, VSID_BITS = 12, 50
UPPER_SHIFT, UPPER_BITS, LOWER_BITS = 7, 5, 11
"""A small page's number is upper and lower bits; a large one's the first four of the upper."""
COMPARED = SIZE_256M | (1 << 62) - (1 << UPPER_SHIFT) | VALID | SECONDARY | LARGE
FRAME = 0x0FFF_FFFF_FFFF_F000
READ_ONLY = 0b11
NO_EXECUTE = 1 << 2


class Area(NamedTuple):
    """Effective addresses from ``start`` to ``end`` (exclusive), of ``large`` pages or small."""

    start: int
    end: int
    large: bool = False


class HashedPages:
    """The kernel's ``areas`` through the hash table that ``read`` (offset, length) gives.

    A space.Translator.  Errors: FormatError for a table without a group.
    """

    def __init__(self, read: Callable[[int, int], bytes], size: int, areas: Sequence[Area]) -> None:
        self._read = read
        self._groups = size // GROUP.size
        self._areas = tuple(areas)
        if not self._groups:
            raise FormatError(f"a page hash table of {size} bytes holds nothing")

    def translate(self, address: int, length: int) -> Mapped:
        """As Translator.translate: one page at a time."""
        area = self._area(address)
        if area is None:
            raise Fault(address, "outside of the kernel's address space")
        shift = LARGE_SHIFT if area.large else SMALL_SHIFT
        entry = self._find(address, shift)
        if entry is None:
            raise Fault(address, "not mapped: neither of its groups in the hash table has it")
        within = address & ((1 << shift) - 1)
        return Mapped((entry & FRAME & -(1 << shift)) + within, min(length, (1 << shift) - within))

    def pages(self, address: int, size: int, count: int) -> range:
        """As Translator.pages."""
        return self.translate(address, size * count).pages(size)

    def _area(self, address: int) -> Area | None:
        return next((area for area in self._areas if area.start <= address < area.end), None)

    def trace(self, address: int) -> Iterator[Step]:
        """As Translator.trace: a step a group; its entry is the second word of the address's."""
        area = self._area(address)
        shift = LARGE_SHIFT if area and area.large else SMALL_SHIFT
        for name, search in zip(
            ("primary", "secondary"), self._searches(address, shift), strict=True
        ):
            found = self._search(*search)
            group = search[0] & (self._groups - 1)
            yield Step(f"{name} group of the page hash table", None, group, found)
            if found is not None:
                return

    def _find(self, address: int, shift: int) -> int | None:
        """The second word of the entry for ``address``."""
        for search in self._searches(address, shift):
            entry = self._search(*search)
            if entry is not None:
                return entry
        return None

    def _searches(self, address: int, shift: int) -> Iterator[tuple[int, int, int]]:
        """The hash of either group, what the first word of an entry must be, and in which bits."""
        vsid = _vsid(address >> SEGMENT_SHIFT)
        page = (address & SEGMENT_MASK) >> shift
        large = shift == LARGE_SHIFT
        upper = page << 1 if large else page >> LOWER_BITS
        wanted = VALID | large * LARGE | vsid << VSID_SHIFT | upper << UPPER_SHIFT
        compared = COMPARED & ~(large << UPPER_SHIFT)
        hashed = vsid & HASH_MASK ^ page
        yield hashed, wanted, compared
        yield ~hashed & HASH_MASK, wanted | SECONDARY, compared

    def _search(self, hashed: int, wanted: int, compared: int) -> int | None:
        data = self._read((hashed & (self._groups - 1)) * GROUP.size, GROUP.size)
        if len(data) < GROUP.size:
            return None
        words: tuple[int, ...] = GROUP.unpack(data)
        for at in range(0, len(words), 2):
            if words[at] & compared == wanted:
                return words[at + 1]
        return None

    def mappings(self) -> Iterator[Mapping]:
        """As Translator.mappings: small and large pages, each by itself."""
        # one number each, which sorts as its address does and takes a fifth of a Mapping's room
        for packed in sorted(self._listed()):
            address, entry = packed >> 64, packed & ((1 << 64) - 1)
            area = self._area(address)
            shift = LARGE_SHIFT if area and area.large else SMALL_SHIFT
            yield Mapping(address, entry & FRAME & -(1 << shift), 1 << shift, _protection(entry))

    def _listed(self) -> Iterator[int]:
        """The areas' pages: the address, and in the lower 64 bits the entry's second word."""
        for start in range(0, self._groups, AT_ONCE):
            data = self._read(start * GROUP.size, min(AT_ONCE, self._groups - start) * GROUP.size)
            for group, words in enumerate(_groups(data), start):
                for at in range(0, len(words), 2):
                    address = self._address(words[at], group) if words[at] & VALID else None
                    if address is not None:
                        yield address << 64 | words[at + 1]

    def _address(self, first: int, group: int) -> int | None:
        """What an entry in ``group`` with this ``first`` word maps; None outside the areas."""
        vsid = first >> VSID_SHIFT & ((1 << VSID_BITS) - 1)
        large = bool(first & LARGE)
        upper = first >> UPPER_SHIFT & ((1 << UPPER_BITS) - 1)
        hashed = ~group if first & SECONDARY else group
        if vsid >> ESID_BITS != 1 or first & SIZE_256M:
            return None
        lower = (hashed ^ vsid) & ((1 << LOWER_BITS) - 1)
        page = upper >> 1 << LARGE_SHIFT if large else (upper << LOWER_BITS | lower) << SMALL_SHIFT
        address = _esid(vsid) << SEGMENT_SHIFT | page
        area = self._area(address)
        return address if area and area.large == large else None


def _groups(data: bytes) -> Iterator[tuple[int, ...]]:
    return GROUP.iter_unpack(data[: len(data) // GROUP.size * GROUP.size])


def _protection(entry: int) -> int:
    protection = READ if entry & READ_ONLY == READ_ONLY else READ | WRITE
    return protection if entry & NO_EXECUTE else protection | EXECUTE


def _vsid(esid: int) -> int:
    rotated = esid << ROTATED | esid >> (ESID_BITS - ROTATED)
    return rotated * MULTIPLIER & ESID_MASK | KERNEL_VSID


def _esid(vsid: int) -> int:
    rotated = vsid * INVERSE & ESID_MASK
    return rotated >> ROTATED | rotated << (ESID_BITS - ROTATED) & ESID_MASK
