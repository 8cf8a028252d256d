"""Which forms do Linux's page tables have?  The processors' own, as arch/ decodes them.

1. Of the kernel's own tables only what the processor would use counts: an entry that is not
   present, whatever Linux keeps in it, maps nothing.
2. Of a process's tables more counts.  A page that is there, but which nobody may touch for the
   moment (PROT_NONE, or sampled by NUMA balancing), has an entry that is not valid for the
   processor, and a software bit that tells it from the entry of a swapped-out page.
3. x86 keeps such pages' frames inverted (L1TF, asm/pgtable-invert.h), but for i386 without PAE.
4. 32-bit arm with short descriptors keeps Linux's own entries 2048 bytes before the hardware's,
   which are empty while a page was not used lately (asm/pgtable-2level.h).

Sources: arch/*/include/asm/pgtable*.h, swapper entries' comments there ("must be zero").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from kvm_exporter.kvm.arch import aarch64, amd64, arm, i386, powerpc64, riscv64
from kvm_exporter.kvm.paging import Decode, Entry, Level, Paging
from kvm_exporter.kvm.space import EXECUTE, READ, WRITE

SWAPPED = "says that it is swapped out, or on its way"

User = Callable[[Paging], Paging]
"""The kernel's form → the one of processes' tables."""


def _of_processes(kernel: Paging, decode: Decode) -> Paging:
    return replace(kernel.lower(), decode=decode, elsewhere=SWAPPED)


# ---- x86

PROTNONE = 1 << 8
"""_PAGE_BIT_PROTNONE, the global bit: in swap entries it is zero."""
HUGE = 1 << 7
INVERTED_PAE = 0x0000_0FFF_FFFF_F000
"""What of an inverted frame 32-bit kernels have; they use no more than 36 bits."""


def encrypted(paging: Paging, mask: int) -> Paging:
    """The form where ``mask`` (AMD's memory encryption, sme_mask) is no part of addresses."""
    decode, frame = paging.decode, paging.frame & ~mask
    if frame == paging.frame:
        return paging

    def without(entry: int, shift: int) -> Entry | None:
        return decode(entry & ~mask, shift)

    return replace(paging, decode=without, frame=frame)


def x86_user(kernel: Paging) -> Paging:
    """Processes' tables on x86_64, and on i386 with and without PAE."""
    decode = kernel.decode
    inverted = {i386.PAE.name: INVERTED_PAE, i386.PLAIN.name: 0}.get(kernel.name, amd64.FRAME)

    def decode_user(entry: int, shift: int) -> Entry | None:
        if entry & amd64.VALID or not entry & PROTNONE:
            return decode(entry, shift)
        if shift > 12 and not entry & HUGE:
            return None
        turned = entry & ~amd64.FRAME | ~entry & inverted if inverted else entry
        return decode(turned | amd64.VALID, shift)

    return _of_processes(kernel, decode_user)


# ---- arm64, and 32-bit arm with long descriptors


LONGEST_PLAIN = 48
"""Bits of virtual addresses that need neither LVA nor LPA2."""

PRESENT_INVALID = 1 << 11
"""PTE_PRESENT_INVALID since 6.11.  Before, PROT_NONE was bit 58, but with this one (nG) as well."""


def arm64(page_shift: int, bits: int) -> Paging:
    """Tables for addresses of ``bits``.

    Physical addresses of 52 bits need no more than that in the kernel with pages of 64 KB, where
    what holds their upper bits is zero else (LPA); with others they come with virtual ones of 52
    (LPA2, CONFIG_ARM64_PA_BITS_52).
    """
    known = {
        12: aarch64.PAGINGS_4K[1 if bits > LONGEST_PLAIN else 0],
        14: aarch64.PAGINGS_16K[1 if bits > LONGEST_PLAIN else 0],
        16: aarch64.PAGINGS_64K[2],
    }[page_shift]
    return replace(
        known,
        name=f"{1 << page_shift - 10}k-{bits}",
        levels=levels(page_shift, page_shift - 3, bits),
        base=2**64 - (1 << bits),
    )


def levels(page_shift: int, width: int, bits: int) -> tuple[Level, ...]:
    """Tables of 1 << ``width`` entries for addresses of ``bits``; the root's are what is left."""
    shifts = range(page_shift, bits, width)
    return tuple(Level(shift, min(width, bits - shift)) for shift in reversed(shifts))


def _armed(kernel: Paging, needed: int) -> Paging:
    """Processes' tables, where invalid pages have ``needed`` besides the bit that makes a page."""
    decode, last = kernel.decode, kernel.levels[-1].shift
    page, mask = needed | 0b10, needed | 0b11

    def decode_user(entry: int, shift: int) -> Entry | None:
        if shift == last and entry & mask == page:
            entry |= 0b01
        return decode(entry, shift)

    return _of_processes(kernel, decode_user)


def arm64_user(kernel: Paging) -> Paging:
    """Processes' tables on arm64."""
    return _armed(kernel, PRESENT_INVALID)


# ---- 32-bit arm

TWIN = 2048
"""Bytes from Linux's own last tables to the hardware's (PTE_HWTABLE_OFF)."""
L_PTE_PRESENT, L_PTE_RDONLY, L_PTE_XN = 1 << 0, 1 << 7, 1 << 9


def _decode_twin(entry: int, shift: int) -> Entry | None:
    if shift == 20:
        found = arm.decode(entry, shift)
        if found is None or found.leaf:
            return found
        return found._replace(address=found.address - TWIN) if found.address >= TWIN else None
    if not entry & L_PTE_PRESENT:
        return None
    protection = (
        READ | (0 if entry & L_PTE_RDONLY else WRITE) | (0 if entry & L_PTE_XN else EXECUTE)
    )
    return Entry(entry & arm.SMALL_FRAME, protection, 1 << 12)


def arm_user(kernel: Paging) -> Paging:
    """Processes' tables on 32-bit arm."""
    if kernel.name == arm.LONG.name:
        return _armed(kernel, 0)
    return _of_processes(kernel, _decode_twin)


# ---- powerpc64


SOFTWARE = 0x3FE0_0000_0000_0000
"""Between addresses of 53 bits (_PAGE_PA_MAX) and the two that say what an entry is: where the
kernel keeps keys, and which hash group has a page (asm/book3s/64/pgtable.h, hash.h)."""
HASHED_TABLE = 0x001F_FFFF_FFFF_FF00
"""Without PMD_MASKED_BITS."""


def _radix(name: str, *levels: Level) -> Paging:
    """Trees that the processor walks."""
    last = levels[-1].shift

    def decode(entry: int, shift: int) -> Entry | None:
        found = powerpc64.decode(entry & ~SOFTWARE, shift)
        return None if found and shift == last and not found.leaf else found

    return _powerpc64(name, levels, decode)


def _hashed(name: str, *levels: Level) -> Paging:
    """Tables that Linux keeps although the processor has a hash table: of all but linear maps.

    Their pages are as radix trees have them, their directories hold little but addresses.
    """
    last = levels[-1].shift

    def decode(entry: int, shift: int) -> Entry | None:
        if entry & powerpc64.LEAF:
            return powerpc64.decode(entry & ~SOFTWARE, shift)
        table = entry & HASHED_TABLE
        return Entry(table, READ | WRITE | EXECUTE, 0) if table and shift > last else None

    return _powerpc64(name, levels, decode)


def _powerpc64(name: str, levels: tuple[Level, ...], decode: Decode) -> Paging:
    frame = powerpc64.FRAME & ~SOFTWARE & -(1 << levels[-1].shift)
    return replace(powerpc64.RADIX, name=name, levels=levels, decode=decode, frame=frame)


# RADIX_PTE_INDEX_SIZE and the others (asm/book3s/64/radix-64k.h, radix-4k.h), H_PTE_INDEX_SIZE and
# the others (hash-64k.h, hash-4k.h; since 4.17)
RADIX_64K = _radix("radix, 64 KB", Level(39, 13), Level(30, 9), Level(21, 9), Level(16, 5))
RADIX_4K = _radix("radix, 4 KB", Level(39, 13), Level(30, 9), Level(21, 9), Level(12, 9))
HASHED_64K = _hashed("hashed, 64 KB", Level(44, 8), Level(34, 10), Level(24, 10), Level(16, 8))
HASHED_4K = _hashed("hashed, 4 KB", Level(37, 9), Level(28, 9), Level(21, 7), Level(12, 9))


def powerpc64_user(kernel: Paging) -> Paging:
    """Processes' tables on powerpc64: PROT_NONE pages are valid ones, without any rights."""
    return _of_processes(kernel, kernel.decode)


# ---- riscv64

RISCV_PROT_NONE = 1 << 5
"""_PAGE_PROT_NONE, the global bit."""


def riscv_user(kernel: Paging) -> Paging:
    """Processes' tables on riscv64."""
    decode = kernel.decode

    def decode_user(entry: int, shift: int) -> Entry | None:
        if not entry & riscv64.VALID and entry & RISCV_PROT_NONE:
            entry |= riscv64.VALID | riscv64.READABLE
        return decode(entry, shift)

    return _of_processes(kernel, decode_user)
