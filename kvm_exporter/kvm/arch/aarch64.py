"""How does aarch64 see memory?  Granules of 4, 16 or 64 KB, 39 to 52 bits, two address spaces.

1. The kernel's tables (TTBR1) map the top of the address space, a process's (TTBR0) its bottom:
   the pagings here are the kernel's; ``paging.lower()`` is the same for a process.
2. Addresses of more than 48 bits: with 64 KB granules bits 51 to 48 lie in 15 to 12 (FEAT_LPA);
   with the others bits 51 and 50 lie in 9 and 8 (FEAT_LPA2).  FreeBSD 15 calls the latter
   pmap_lpa_enabled; a kernel without it has the shareability in those bits.

Sources: sys/arm64/include/pte.h, vmparam.h; Arm's Architecture Reference Manual, D8.3.
"""

from __future__ import annotations

from collections.abc import Callable

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.arch import Arch, Choice
from kvm_exporter.kvm.paging import Decode, Entry, Level, Paging
from kvm_exporter.kvm.space import EXECUTE, READ, WRITE

TYPE = 0b11
BLOCK = 0b01
TABLE_OR_PAGE = 0b11
READ_ONLY = 1 << 7
NO_EXECUTE = 1 << 53 | 1 << 54
"""ATTR_S1_PXN and ATTR_S1_UXN: as kvm_walk_pages(3), what either forbids is not EXECUTE."""
TABLE_READ_ONLY = 1 << 62
TABLE_NO_EXECUTE = 1 << 59 | 1 << 60
ADDRESS_48 = 0x0000_FFFF_FFFF_F000
ADDRESS_50 = 0x0003_FFFF_FFFF_F000


def _plain(entry: int) -> int:
    return entry & ADDRESS_48


def _lpa(entry: int) -> int:
    return entry & 0x0000_FFFF_FFFF_0000 | (entry & 0xF000) << 36


def _lpa2(entry: int) -> int:
    return entry & ADDRESS_50 | (entry & 0x300) << 42


def decoder(page_shift: int, largest_block: int, address_of: Callable[[int], int]) -> Decode:
    """For one granule; a block maps at most 1 << ``largest_block`` bytes.

    Also of what these descriptors come from, the long ones of 32-bit arm.
    """

    def decode(entry: int, shift: int) -> Entry | None:
        kind = entry & TYPE
        if kind == TABLE_OR_PAGE and shift > page_shift:
            return Entry(address_of(entry) >> page_shift << page_shift, _inherited(entry), 0)
        if kind != (TABLE_OR_PAGE if shift == page_shift else BLOCK) or shift > largest_block:
            return None
        protection = READ if entry & READ_ONLY else READ | WRITE
        if not entry & NO_EXECUTE:
            protection |= EXECUTE
        return Entry(address_of(entry) >> shift << shift, protection, 1 << shift)

    return decode


def _inherited(entry: int) -> int:
    """What a table allows its entries."""
    protection = READ | WRITE | EXECUTE
    if entry & TABLE_READ_ONLY:
        protection &= ~WRITE
    if entry & TABLE_NO_EXECUTE == TABLE_NO_EXECUTE:
        protection &= ~EXECUTE
    return protection


def _paging(name: str, decode: Decode, *levels: Level) -> Paging:
    bits = levels[0].shift + levels[0].bits
    return Paging(
        name=name,
        levels=levels,
        entry_size=8,
        decode=decode,
        base=2**64 - (1 << bits),
        frame=ADDRESS_48 & -(1 << levels[-1].shift),
        root_members=("pm_l0",),
    )


_4K = (Level(39, 9), Level(30, 9), Level(21, 9), Level(12, 9))
_16K = (Level(47, 1), Level(36, 11), Level(25, 11), Level(14, 11))
_64K = (Level(42, 6), Level(29, 13), Level(16, 13))
_decode_4k = decoder(12, 30, _plain)
_decode_4k_lpa2 = decoder(12, 39, _lpa2)
_decode_16k = decoder(14, 25, _plain)
_decode_16k_lpa2 = decoder(14, 36, _lpa2)
_decode_64k = decoder(16, 29, _plain)

# named by granule and bits of the address
PAGINGS_4K = (
    _paging("4k-48", _decode_4k, *_4K),
    _paging("4k-48-lpa2", _decode_4k_lpa2, *_4K),
    _paging("4k-39", _decode_4k, *_4K[1:]),
    _paging("4k-52", _decode_4k_lpa2, Level(48, 4), *_4K),
)
PAGINGS_16K = (
    _paging("16k-48", _decode_16k, *_16K),
    _paging("16k-48-lpa2", _decode_16k_lpa2, *_16K),
    _paging("16k-47", _decode_16k, *_16K[1:]),
    _paging("16k-52", _decode_16k_lpa2, Level(47, 5), *_16K[1:]),
)
PAGINGS_64K = (
    _paging("64k-48", _decode_64k, *_64K),
    _paging("64k-42", _decode_64k, *_64K[1:]),
    _paging("64k-52", decoder(16, 42, _lpa), Level(42, 10), *_64K[1:]),
)


def _arch(page_size: int, pagings: tuple[Paging, ...], choice: Choice | None) -> Arch:
    return Arch(
        name="aarch64",
        machine="arm64",
        elf=(183, 2, 1),
        abi=Abi("<", 8),
        page_size=page_size,
        pagings={paging.name: paging for paging in pagings},
        choice=choice,
        kernel_base=0xFFFF_0000_0000_0000,
        direct_map=(0xFFFF_A000_0000_0000, 0xFFFF_FF00_0000_0000),
        user_end=1 << 48,
    )


def _lpa2_choice(plain: Paging, lpa2: Paging) -> Choice:
    """Since 15.0 (arm64/arm64/pmap.c)."""
    return Choice("pmap_lpa_enabled", {0: plain.name, 1: lpa2.name}, size=1)


ARCHES = (
    _arch(1 << 12, PAGINGS_4K, _lpa2_choice(*PAGINGS_4K[:2])),
    _arch(1 << 14, PAGINGS_16K, _lpa2_choice(*PAGINGS_16K[:2])),
    _arch(1 << 16, PAGINGS_64K, None),
)
