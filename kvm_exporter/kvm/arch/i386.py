"""How does i386 see memory?  Two levels of 1024 entries, or with PAE three of wider ones.

Sources: sys/i386/include/pmap.h, pmap_nopae.h, pmap_pae.h, vmparam.h; PSE-36: Intel's manual,
volume 3A, 4.3.
"""

from __future__ import annotations

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.arch import Arch, Choice
from kvm_exporter.kvm.paging import Entry, Level, Paging
from kvm_exporter.kvm.space import EXECUTE, READ, WRITE

VALID = 1 << 0
WRITABLE = 1 << 1
SUPERPAGE = 1 << 7
FRAME = 0xFFFF_F000
FRAME_4M = 0xFFC0_0000
HIGH_4M = 0x001F_E000
"""PSE-36: bits 39 to 32 of a 4 MB page's address."""

NO_EXECUTE = 1 << 63
FRAME_PAE = 0x000F_FFFF_FFFF_F000


def decode(entry: int, shift: int) -> Entry | None:
    """A PTE (shift 12) or PDE (22)."""
    if not entry & VALID:
        return None
    protection = READ | WRITE | EXECUTE if entry & WRITABLE else READ | EXECUTE
    if shift == 12:
        return Entry(entry & FRAME, protection, 1 << 12)
    if entry & SUPERPAGE:
        address = entry & FRAME_4M | (entry & HIGH_4M) << (32 - 13)
        return Entry(address, protection, 1 << 22)
    return Entry(entry & FRAME, protection, 0)


def decode_pae(entry: int, shift: int) -> Entry | None:
    """A PTE (shift 12), PDE (21) or PDPTE (30), which has neither WRITABLE nor NO_EXECUTE."""
    if not entry & VALID:
        return None
    if shift == 30:
        return Entry(entry & FRAME_PAE, READ | WRITE | EXECUTE, 0)
    protection = READ | WRITE if entry & WRITABLE else READ
    if not entry & NO_EXECUTE:
        protection |= EXECUTE
    if shift == 12:
        return Entry(entry & FRAME_PAE, protection, 1 << 12)
    if entry & SUPERPAGE:
        return Entry(entry & FRAME_PAE & -(1 << 21), protection, 1 << 21)
    return Entry(entry & FRAME_PAE, protection, 0)


PLAIN = Paging(
    name="i386",
    levels=(Level(22, 10), Level(12, 10)),
    entry_size=4,
    decode=decode,
    frame=FRAME,
    root_members=("pm_pdir_nopae", "pm_pdir"),
)
PAE = Paging(
    name="pae",
    levels=(Level(30, 2), Level(21, 9), Level(12, 9)),
    entry_size=8,
    decode=decode_pae,
    frame=FRAME_PAE,
    root_members=("pm_pdpt_pae", "pm_pdpt"),
)

ARCHES = (
    Arch(
        name="i386",
        machine="i386",
        aliases=("x86", "i686"),
        elf=(3, 1, 1),
        abi=Abi("<", 4),
        page_size=4096,
        pagings={paging.name: paging for paging in (PLAIN, PAE)},
        # since 13.0 one kernel has both (i386/i386/pmap_base.c)
        choice=Choice("pae_mode", {0: PLAIN.name, 1: PAE.name}),
        user_end=0xFFC0_0000,
    ),
)
