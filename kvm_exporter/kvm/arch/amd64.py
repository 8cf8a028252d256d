"""How does amd64 see memory?  Four or five levels of 512 entries; pages of 4 KB, 2 MB and 1 GB.

Sources: sys/x86/include/x86_var.h, sys/amd64/include/pte.h, pmap.h, vmparam.h, pcpu.h.
"""

from __future__ import annotations

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.arch import Arch, Choice
from kvm_exporter.kvm.paging import Entry, Level, Paging
from kvm_exporter.kvm.space import EXECUTE, READ, WRITE

VALID = 1 << 0
WRITABLE = 1 << 1
SUPERPAGE = 1 << 7
"""In a PDE or PDPE; in a PTE the same bit is PAT."""
NO_EXECUTE = 1 << 63
FRAME = 0x000F_FFFF_FFFF_F000


def decode(entry: int, shift: int) -> Entry | None:
    """A PTE (shift 12), PDE (21), PDPE (30), PML4E (39) or PML5E (48)."""
    if not entry & VALID:
        return None
    protection = READ
    if entry & WRITABLE:
        protection |= WRITE
    if not entry & NO_EXECUTE:
        protection |= EXECUTE
    if shift == 12:
        return Entry(entry & FRAME, protection, 1 << 12)
    if entry & SUPERPAGE:
        size = 1 << shift
        # the processor faults on this bit in the upper levels
        return Entry(entry & FRAME & -size, protection, size) if shift < 39 else None
    return Entry(entry & FRAME, protection, 0)


FOUR_LEVEL = Paging(
    name="4-level",
    levels=(Level(39, 9), Level(30, 9), Level(21, 9), Level(12, 9)),
    entry_size=8,
    decode=decode,
    signed=True,
    frame=FRAME,
    root_members=("pm_pmltop", "pm_pml4"),
)
FIVE_LEVEL = Paging(
    name="5-level",
    levels=(Level(48, 9), *FOUR_LEVEL.levels),
    entry_size=8,
    decode=decode,
    signed=True,
    frame=FRAME,
    root_members=("pm_pmltop",),
)

ARCHES = (
    Arch(
        name="amd64",
        machine="amd64",
        aliases=("x86_64", "x86-64"),
        elf=(62, 2, 1),
        abi=Abi("<", 8),
        page_size=4096,
        pagings={paging.name: paging for paging in (FOUR_LEVEL, FIVE_LEVEL)},
        # since 14.0 (amd64/amd64/pmap.c)
        choice=Choice("la57", {0: FOUR_LEVEL.name, 1: FIVE_LEVEL.name}),
        kernel_base=0xFFFF_FE00_0000_0000,
        direct_map=(0xFFFF_F800_0000_0000, 0xFFFF_FC00_0000_0000),
        user_end=1 << 56,
        per_cpu_base="__pcpu",
    ),
)
