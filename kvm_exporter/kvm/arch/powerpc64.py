"""How does powerpc64 see memory?  Radix trees since POWER9; before, a hash table (kvm/hashed.py).

The trees' entries are big-endian on little-endian kernels too.  The quadrant (an address's two top
bits) chooses the process: the kernel's is 0xc…, so its tree's base is there; ``paging.lower()`` is
the same for a process.

Sources: sys/powerpc/include/pte.h (RPTE_*, RPDE_*), vmparam.h, sys/powerpc/aim/mmu_radix.c
(RADIX_PGD_SIZE_SHIFT, the process table's entry); Power ISA 3.0B, book III, 5.7.10.
"""

from __future__ import annotations

from typing import Literal

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.arch import Arch, Choice
from kvm_exporter.kvm.paging import Entry, Level, Paging
from kvm_exporter.kvm.space import EXECUTE, READ, WRITE

VALID, LEAF = 1 << 63, 1 << 62
FRAME = 0x00FF_FFFF_FFFF_F000
WRITABLE, EXECUTABLE = 1 << 1, 1 << 0
NEXT = 0x0FFF_FFFF_FFFF_FF00
"""A directory entry's next table (NLB); the low five bits are its size, as the levels have it."""
LARGEST = 30
ROOT = 0x0FFF_FFFF_FFFF_FF00


def decode(entry: int, shift: int) -> Entry | None:
    """A PTE (shift 12) or a directory entry (21, 30, 39)."""
    if not entry & VALID:
        return None
    if not entry & LEAF:
        return Entry(entry & NEXT, READ | WRITE | EXECUTE, 0) if shift > 12 else None
    if shift > LARGEST:
        return None
    protection = READ
    if entry & WRITABLE:
        protection |= WRITE
    if entry & EXECUTABLE:
        protection |= EXECUTE
    return Entry(entry & FRAME & -(1 << shift), protection, 1 << shift)


def root(process_table_entry: int) -> int:
    """The physical address of the tree that a process table's entry (first 8 bytes) names."""
    return process_table_entry & ROOT


RADIX = Paging(
    name="radix",
    levels=(Level(39, 13), Level(30, 9), Level(21, 9), Level(12, 9)),
    entry_size=8,
    decode=decode,
    order=">",
    frame=FRAME,
    base=0xC000_0000_0000_0000,
    root_members=("pm_pml1",),
)


def _arch(name: str, order: Literal["<", ">"], data: int) -> Arch:
    return Arch(
        name=name,
        machine="powerpc",
        elf=(21, 2, data),
        abi=Abi(order, 8),
        page_size=4096,
        pagings={RADIX.name: RADIX},
        # 0 is hashed: no paging of that name
        choice=Choice("radix_mmu", {1: RADIX.name}),
        kernel_base=0xC008_0000_0000_0000,
        direct_map=(0xC000_0000_0000_0000, 0xC008_0000_0000_0000),
        user_end=0x000F_FFFF_C000_0000,
    )


ARCHES = (
    _arch("powerpc64", ">", 2),
    _arch("powerpc64le", "<", 1),
)
