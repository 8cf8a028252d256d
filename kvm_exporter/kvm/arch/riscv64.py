"""How does riscv64 see memory?  Three to five levels of 512 entries; any level may map a page.

Sources: sys/riscv/include/pte.h, vmparam.h; the RISC-V privileged architecture, chapters Sv39 to
Sv57, Svnapot (N, bit 63: 64 KB from entries that say so) and Svpbmt (bits 62 and 61).
"""

from __future__ import annotations

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.arch import Arch, Choice
from kvm_exporter.kvm.paging import Entry, Level, Paging
from kvm_exporter.kvm.space import EXECUTE, READ, WRITE

VALID, READABLE, WRITABLE, EXECUTABLE = 1 << 0, 1 << 1, 1 << 2, 1 << 3
LEAF = READABLE | WRITABLE | EXECUTABLE
NUMBER = 0x003F_FFFF_FFFF_FC00
"""The page's number, bits 53 to 10; above are N, PBMT (also T-HEAD's own), reserved ones."""
NAPOT = 1 << 63
NAPOT_64K = 0b1000 << 10
NUMBER_64K = 0b1111 << 10
"""The bits of the number that tell a NAPOT page's size."""


def decode(entry: int, shift: int) -> Entry | None:
    """An entry of any level: a leaf if anything may be done with it."""
    if not entry & VALID:
        return None
    address = (entry & NUMBER) << 2
    if not entry & LEAF:
        return Entry(address, READ | WRITE | EXECUTE, 0) if shift > 12 else None
    protection = READ
    if entry & WRITABLE:
        protection |= WRITE
    if entry & EXECUTABLE:
        protection |= EXECUTE
    # T-HEAD's processors have bit 63 for memory order: N is only what also has N's low bits
    if shift == 12 and entry & (NAPOT | NUMBER_64K) == NAPOT | NAPOT_64K:
        return Entry(address & -(1 << 16), protection, 1 << 16)
    return Entry(address & -(1 << shift), protection, 1 << shift)


def _paging(name: str, *levels: Level) -> Paging:
    return Paging(
        name=name,
        levels=levels,
        entry_size=8,
        decode=decode,
        signed=True,
        shifted=2,
        frame=NUMBER & ~NUMBER_64K,
        root_members=("pm_top", "pm_l1"),
    )


_LEVELS = (Level(48, 9), Level(39, 9), Level(30, 9), Level(21, 9), Level(12, 9))
SV39 = _paging("sv39", *_LEVELS[2:])
SV48 = _paging("sv48", *_LEVELS[1:])
SV57 = _paging("sv57", *_LEVELS)

ARCHES = (
    Arch(
        name="riscv64",
        machine="riscv",
        aliases=("riscv64sf",),
        elf=(243, 2, 1),
        abi=Abi("<", 8),
        page_size=4096,
        pagings={paging.name: paging for paging in (SV39, SV48, SV57)},
        # enum pmap_mode, since 14.0 (riscv/include/pmap.h)
        choice=Choice("pmap_mode", {0: SV39.name, 1: SV48.name}),
        kernel_base=0xFFFF_FFC0_0000_0000,
        direct_map=(0xFFFF_FFD0_0000_0000, 0xFFFF_FFF0_0000_0000),
        user_end=1 << 47,
    ),
)
