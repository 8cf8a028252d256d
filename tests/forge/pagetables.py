"""How does each architecture write its page tables?  Tables for a list of pages, from the manuals.

Each form is told in the manual's own words: which bits of an address index which table, and what an
entry for a page or a table looks like.

Intel 64 and IA-32 SDM volume 3A chapter 4 (figures 4-4, 4-7, 4-11); Arm ARM (DDI 0487) D8.3 and
(DDI 0406) B3.5, B3.6; RISC-V privileged specification 1.12 chapters 4.3 to 4.6, Svnapot; Power ISA
3.0B book III 5.7.10; 2.07B book III-S 5.7.7.  What is the software's choice is FreeBSD's
(sys/arm/include/pte.h, sys/powerpc/include/slb.h).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

KB, MB, GB, TB = 1024, 1024**2, 1024**3, 1024**4


class Page(NamedTuple):
    """A page to be mapped; ``writable`` and ``executable`` beside being readable."""

    va: int
    pa: int
    size: int
    writable: bool = True
    executable: bool = True


class Ram:
    """Physical memory from ``base`` on: what was written, else zeros; it grows as needed."""

    def __init__(self, base: int = 0) -> None:
        self.base = base
        self.bytes = bytearray()
        self.tables: dict[int, int] = {}

    def allocate(self, size: int) -> int:
        """A zeroed, naturally aligned piece (of at least 64 bytes)."""
        size = max(size, 64)
        start = -(-len(self.bytes) // size) * size
        self.bytes.extend(bytes(start + size - len(self.bytes)))
        return self.base + start

    def put(self, address: int, data: bytes) -> None:
        """Write into what was allocated."""
        at = address - self.base
        self.bytes[at : at + len(data)] = data


@dataclass(frozen=True)
class Form:
    """One form of tables.

    ``indices``: (lowest bit, highest bit) of the address that index each table, the root's first.
    ``page``: an entry for a page, given the page; ``table``: an entry for a table at an address, in
    the table whose index starts at that bit.  ``sizes``: page sizes, and the lowest bit of the
    index of the table that they are entered into.  ``top``: where the mapped addresses begin; None
    where the highest translated bit is repeated above.  Physical addresses have ``physical_bits``,
    those of pages of some sizes the fewer ``narrow`` ones.  ``read_only``, ``no_execute``: whether
    an entry can say so.
    """

    name: str
    indices: tuple[tuple[int, int], ...]
    page: Callable[[Page], int]
    table: Callable[[int, int], int]
    sizes: dict[int, int]
    width: int = 8
    order: str = "little"
    top: int | None = 0
    physical_bits: int = 48
    narrow: dict[int, int] = field(default_factory=dict)
    read_only: bool = True
    no_execute: bool = True

    @property
    def bits(self) -> int:
        return self.indices[0][1] + 1

    def address(self, offset: int) -> int:
        """The virtual address of an offset into the translated range."""
        if self.top is not None:
            return self.top + offset
        return offset - (1 << self.bits) + (1 << 64) if offset >> self.bits - 1 else offset


def build(form: Form, pages: Iterable[Page], ram: Ram) -> int:
    """Write tables that map ``pages``; the root's address."""
    root = _new(form, form.indices[0], ram)
    for page in pages:
        _enter(form, page, ram, root)
    return root


def _new(form: Form, index: tuple[int, int], ram: Ram) -> int:
    low, high = index
    return ram.allocate(form.width << (high - low + 1))


def _enter(form: Form, page: Page, ram: Ram, root: int) -> None:
    at = root
    for depth, (low, high) in enumerate(form.indices):
        index = (page.va >> low) % (1 << (high - low + 1))
        slot = at + index * form.width
        if form.sizes[page.size] == low:
            # a page larger than its slot is entered into each slot that it covers
            for n in range(max(page.size >> low, 1)):
                ram.put(slot + n * form.width, form.page(page).to_bytes(form.width, form.order))
            return
        if slot not in ram.tables:
            ram.tables[slot] = _new(form, form.indices[depth + 1], ram)
            held = form.table(ram.tables[slot], low)
            ram.put(slot, held.to_bytes(form.width, form.order))
        at = ram.tables[slot]


# ---- x86


def _x86(page: Page) -> int:
    entry = page.pa | 1 | (2 if page.writable else 0) | (0 if page.executable else 1 << 63)
    return entry | (1 << 7 if page.size > 4 * KB else 0)


def _pse36(page: Page) -> int:
    low = page.pa & 0xFFFFFFFF | (page.pa >> 32) << 13
    return low | 1 | (2 if page.writable else 0) | (1 << 7 if page.size == 4 * MB else 0)


_AMD64 = ((39, 47), (30, 38), (21, 29), (12, 20))
_AMD64_SIZES = {4 * KB: 12, 2 * MB: 21, GB: 30}


def _amd64(name: str, indices: tuple[tuple[int, int], ...]) -> Form:
    return Form(
        name,
        indices,
        page=_x86,
        table=lambda at, _low: at | 0x67,
        sizes=_AMD64_SIZES,
        top=None,
        physical_bits=52,
    )


# ---- Arm, 64 bits and long descriptors


def _arm_attributes(page: Page) -> int:
    attributes = 1 << 10 | 0b11 << 8  # accessed, inner shareable
    attributes |= 0 if page.writable else 1 << 7
    return attributes | (0 if page.executable else 1 << 54 | 1 << 53)


def _arm64_page(granule: int, place: Callable[[int], int], wide: bool) -> Callable[[Page], int]:
    def page_entry(page: Page) -> int:
        attributes = _arm_attributes(page)
        if wide and granule != 64 * KB:
            attributes &= ~(0b11 << 8)  # with 52-bit addresses these are theirs
        return place(page.pa) | attributes | (0b11 if page.size == granule else 0b01)

    return page_entry


def _plain(pa: int) -> int:
    return pa


def _bits_51_50(pa: int) -> int:
    return pa & ~(0b11 << 50) | (pa >> 50) << 8


def _bits_51_48(pa: int) -> int:
    return pa & ~(0b1111 << 48) | (pa >> 48) << 12


def _arm64(
    name: str,
    granule: int,
    indices: tuple[tuple[int, int], ...],
    blocks: dict[int, int],
    place: Callable[[int], int] = _plain,
) -> Form:
    wide = place is not _plain
    bits = indices[0][1] + 1
    return Form(
        name,
        indices,
        page=_arm64_page(granule, place, wide),
        table=lambda at, _low: place(at) | 0b11,
        sizes={granule: indices[-1][0], **blocks},
        top=(1 << 64) - (1 << bits),
        physical_bits=52 if wide else 48,
    )


_4K = ((39, 47), (30, 38), (21, 29), (12, 20))
_4K_BLOCKS = {2 * MB: 21, GB: 30}
_16K = ((47, 47), (36, 46), (25, 35), (14, 24))
_64K = ((42, 47), (29, 41), (16, 28))

# ---- Arm, short descriptors


def _arm_section(page: Page) -> int:
    """FreeBSD: read only is TEX[1] (bit 13); the hardware's AP[2] (bit 15) tells unmodified."""
    attributes = 1 << 10 | 0b10 | (0 if page.writable else 1 << 13)
    attributes |= 0 if page.executable else 1 << 4
    if page.size == MB:
        return page.pa | attributes
    high = page.pa >> 32
    return page.pa & 0xFF000000 | (high & 0xF) << 20 | (high >> 4) << 5 | 1 << 18 | attributes


def _arm_short(page: Page) -> int:
    if page.size >= MB:
        return _arm_section(page)
    if page.size == 64 * KB:
        large = 0b01 | (0 if page.writable else 1 << 13) | (0 if page.executable else 1 << 15)
        return page.pa | 1 << 4 | large
    return page.pa | 1 << 4 | 0b10 | (0 if page.writable else 1 << 7) | (not page.executable)


def _arm_v4(page: Page) -> int:
    kind = {4 * KB: 0b10, 64 * KB: 0b01, MB: 0b10}[page.size]
    # four access-permission fields of two bits: 01 is read and write for the kernel
    return page.pa | kind | (0x550 if page.size < MB else 0x410)


# ---- RISC-V


def _riscv(page: Page) -> int:
    permissions = 0b0011 | (0b0100 if page.writable else 0) | (0b1000 if page.executable else 0)
    number = page.pa >> 12
    napot = 0
    if page.size == 64 * KB:
        number |= 0b1000
        napot = 1 << 63
    return number << 10 | permissions | 0xC0 | napot


def _sv(levels: int) -> Form:
    indices = tuple((12 + 9 * n, 20 + 9 * n) for n in reversed(range(levels)))
    sizes = {1 << low: low for low, _ in indices}
    return Form(
        f"sv{12 + 9 * levels}",
        indices,
        page=_riscv,
        table=lambda at, _low: at >> 12 << 10 | 1,
        sizes={**sizes, 64 * KB: 12},
        top=None,
        physical_bits=56,
    )


# ---- POWER


def _radix_page(page: Page) -> int:
    access = 0b1100 | (0b10 if page.writable else 0) | (0b01 if page.executable else 0)
    return 1 << 63 | 1 << 62 | page.pa | 0x180 | access


def _radix_table(at: int, low: int) -> int:
    # the low five bits are the next table's index size, here always nine
    assert low > 12
    return 1 << 63 | at | 9


FORMS = {
    form.name: form
    for form in (
        _amd64("4-level", _AMD64),
        _amd64("5-level", ((48, 56), *_AMD64)),
        Form(
            "i386",
            ((22, 31), (12, 21)),
            page=_pse36,
            table=lambda at, _low: at | 0x67,
            sizes={4 * KB: 12, 4 * MB: 22},
            width=4,
            physical_bits=40,
            narrow={4 * KB: 32},
            no_execute=False,
        ),
        Form(
            "pae",
            ((30, 31), (21, 29), (12, 20)),
            page=_x86,
            table=lambda at, low: at | (1 if low == 30 else 0x67),
            sizes={4 * KB: 12, 2 * MB: 21},
            physical_bits=52,
        ),
        _arm64("4k-48", 4 * KB, _4K, _4K_BLOCKS),
        _arm64("4k-39", 4 * KB, _4K[1:], _4K_BLOCKS),
        _arm64("4k-48-lpa2", 4 * KB, _4K, {**_4K_BLOCKS, 512 * GB: 39}, _bits_51_50),
        _arm64("4k-52", 4 * KB, ((48, 51), *_4K), {**_4K_BLOCKS, 512 * GB: 39}, _bits_51_50),
        _arm64("16k-48", 16 * KB, _16K, {32 * MB: 25}),
        _arm64("16k-47", 16 * KB, _16K[1:], {32 * MB: 25}),
        _arm64("16k-48-lpa2", 16 * KB, _16K, {32 * MB: 25, 64 * GB: 36}, _bits_51_50),
        _arm64("16k-52", 16 * KB, ((47, 51), *_16K[1:]), {32 * MB: 25, 64 * GB: 36}, _bits_51_50),
        _arm64("64k-48", 64 * KB, _64K, {512 * MB: 29}),
        _arm64("64k-42", 64 * KB, _64K[1:], {512 * MB: 29}),
        _arm64("64k-52", 64 * KB, ((42, 51), *_64K[1:]), {512 * MB: 29, 4 * TB: 42}, _bits_51_48),
        Form(
            "short",
            ((20, 31), (12, 19)),
            page=_arm_short,
            table=lambda at, _low: at | 0b01,
            sizes={4 * KB: 12, 64 * KB: 12, MB: 20, 16 * MB: 20},
            width=4,
            physical_bits=40,
            narrow={4 * KB: 32, 64 * KB: 32, MB: 32},
        ),
        Form(
            "short-v4",
            ((20, 31), (12, 19)),
            page=_arm_v4,
            table=lambda at, _low: at | 0b10001,
            sizes={4 * KB: 12, 64 * KB: 12, MB: 20},
            width=4,
            physical_bits=32,
            read_only=False,
            no_execute=False,
        ),
        Form(
            "long",
            ((30, 31), (21, 29), (12, 20)),
            page=_arm64_page(4 * KB, _plain, wide=False),
            table=lambda at, _low: at | 0b11,
            sizes={4 * KB: 12, 2 * MB: 21, GB: 30},
            physical_bits=40,
        ),
        _sv(3),
        _sv(4),
        _sv(5),
        Form(
            "radix",
            ((39, 51), (30, 38), (21, 29), (12, 20)),
            page=_radix_page,
            table=_radix_table,
            sizes={4 * KB: 12, 2 * MB: 21, GB: 30},
            order="big",
            top=0xC << 60,
            physical_bits=56,
        ),
    )
}


def mips_entry_lo(page: Page, width: int) -> int:
    """EntryLo: the frame from bit 6, C in bits 5 to 3, D(irty), V(alid), G(lobal).

    FreeBSD keeps its own bits on top, "read only" the lowest of them: bit 29 of 32, 55 of 64.
    """
    entry = page.pa >> 12 << 6 | 0b011 << 3 | 0b111
    return entry if page.writable else entry | 1 << (29 if width == 4 else 55)


# ---- POWER's hash table


def kernel_vsid(esid: int) -> int:
    """FreeBSD: the 36-bit ESID turned left by 8, times 0x13bb, in 36 bits; and the kernel's bit."""
    turned = (esid * 2**8) % 2**36 + esid // 2**28
    return (turned * 0x13BB) % 2**36 + 2**36


def hash_table(pages: Iterable[Page], groups: int) -> bytes:
    """A hash table of ``groups`` groups (a power of two) with small (4 KB) and large (16 MB) pages.

    The second group is used when the first is full.
    """
    table = [[(0, 0)] * 8 for _ in range(groups)]
    for page in pages:
        shift = 12 if page.size == 4 * KB else 24
        vsid = kernel_vsid(page.va // 2**28)
        number = page.va % 2**28 >> shift
        first = (vsid % 2**39) ^ number
        # AVA: the VSID and the address bits 27 to 23, of a large page only down to 24
        shortened = page.va % 2**28 >> 23 if shift == 12 else number << 1
        high = vsid << 12 | shortened << 7 | (0 if shift == 12 else 4) | 1
        low = page.pa | (0b10 if page.writable else 0b11) | (0 if page.executable else 4)
        _into_group(table, (first % groups, (2**39 - 1 - first) % groups), high, low)
    words = [word for group in table for entry in group for word in entry]
    return b"".join(word.to_bytes(8, "big") for word in words)


def _into_group(
    table: list[list[tuple[int, int]]], groups: tuple[int, int], high: int, low: int
) -> None:
    for which, group in enumerate(groups):
        for slot, entry in enumerate(table[group]):
            if entry == (0, 0):
                table[group][slot] = (high | which << 1, low)
                return
    raise AssertionError("both groups are full")
