"""What does each architecture's kernel call its page tables?  Where roots.py has to look.

Every guess is checked before it is believed, so a row may name what only some releases have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

MB = 1 << 20


@dataclass(frozen=True, slots=True)
class Recipe:
    """``roots``: symbols of the top table, or of a variable with its address; the best one first.

    ``alignment``: loaders put kernels at multiples of it.  ``direct_maps``: (start, end) of virtual
    addresses where all physical memory may be mapped, from the physical address on that the
    variable ``direct_base`` holds.  ``runs_at``: kernels run in a direct map there, not where they
    were linked to.  ``hashed``: variables with the address of a hashed page table and its groups.
    """

    roots: tuple[str, ...] = ()
    alignment: int = 2 * MB
    direct_maps: tuple[tuple[int, int], ...] = ()
    direct_base: str | None = None
    runs_at: int | None = None
    hashed: tuple[str, str] | None = None


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        # amd64/amd64/pmap.c, amd64/include/vmparam.h; LA57's direct map comes first
        "amd64": Recipe(
            roots=("KPML5phys", "KPML4phys"),
            direct_maps=(
                (0xFF01_0000_0000_0000, 0xFF21_0000_0000_0000),
                (0xFFFF_F800_0000_0000, 0xFFFF_FC00_0000_0000),
            ),
        ),
        # i386/i386/pmap.c: since 13.0 each kernel has both forms; before, one without the suffix
        "i386": Recipe(
            roots=("IdlePDPT", "IdlePTD_nopae", "IdlePTD", "PTD"),
            alignment=4 * MB,
        ),
        # arm64/arm64/locore.S, pmap.c; arm64/include/vmparam.h, the second of before 15.0
        "arm64": Recipe(
            roots=("pagetable_l0_ttbr1", "pagetable_l1_ttbr1", "pagetable_l1"),
            direct_maps=(
                (0xFFFF_A000_0000_0000, 0xFFFF_FF00_0000_0000),
                (0xFFFF_FD00_0000_0000, 0xFFFF_FF00_0000_0000),
            ),
            direct_base="dmap_phys_base",
        ),
        # riscv/riscv/pmap.c (pm_satp since 14.0, before locore.S's table); riscv/include/vmparam.h
        "riscv": Recipe(
            roots=("pagetable_l1",),
            direct_maps=((0xFFFF_FFD0_0000_0000, 0xFFFF_FFF0_0000_0000),),
            direct_base="dmap_phys_base",
        ),
        # arm/arm/pmap-v6.c; the second is "for libkvm", the last of before ARMv6
        "arm": Recipe(
            roots=("pmap_kern_ttb", "kernel_l1pa", "kern_pt1", "kernel_l1pt"),
            alignment=MB,
        ),
        # powerpc/include/vmparam.h; of the hash table powerpc/aim/moea64_native.c
        "powerpc": Recipe(
            alignment=1 << 16,
            direct_maps=((0xC000_0000_0000_0000, 0xC008_0000_0000_0000),),
            runs_at=0xC000_0000_0000_0000,
            hashed=("moea64_pteg_table", "moea64_pteg_count"),
        ),
        "mips": Recipe(alignment=MB),
    }
)
