"""How does 32-bit arm see memory?  Short descriptors (FreeBSD's), older ones, and long ones (LPAE).

Sources: sys/arm/include/pte.h (PTE1_*, PTE2_*: FreeBSD keeps "read only" in software bits and the
hardware's AP[2] for "not modified"), vmparam.h, minidump.h (MINIDUMP_MMU_FORMAT_*), libkvm's
kvm_arm.h for the formats before ARMv6; Arm's Architecture Reference Manual (ARMv7), B3.5 and B3.6.
"""

from __future__ import annotations

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.arch import Arch, aarch64
from kvm_exporter.kvm.paging import Entry, Level, Paging
from kvm_exporter.kvm.space import EXECUTE, READ, WRITE

TYPE = 0b11
ALL = READ | WRITE | EXECUTE

# first level: tables, sections of 1 MB, supersections of 16 MB
TABLE, SECTION = 0b01, 0b10
SECTION_NX = 1 << 4
SECTION_RO = 1 << 13
SUPERSECTION = 1 << 18

# second level: 64 KB pages, repeated in 16 entries; 4 KB pages, whose lowest bit is NX since v6
LARGE, SMALL, TINY = 0b01, 0b10, 0b11
PAGE_NX = 1 << 0
LARGE_NX = 1 << 15
PAGE_RO = 1 << 7
LARGE_RO = 1 << 13
V4_WRITABLE = 1 << 4
SMALL_FRAME = 0xFFFF_F000
LONG_FRAME = 0x0000_00FF_FFFF_F000


def decode(entry: int, shift: int) -> Entry | None:
    """Short descriptors of ARMv6 and later: first level (shift 20), second level (12)."""
    if shift == 20:
        return _first(entry)
    kind = entry & TYPE
    if not kind:
        return None
    if kind == LARGE:
        protection = _protection(entry & LARGE_RO, entry & LARGE_NX)
        return Entry(entry & 0xFFFF_0000, protection, 1 << 16)
    return Entry(entry & SMALL_FRAME, _protection(entry & PAGE_RO, entry & PAGE_NX), 1 << 12)


def _first(entry: int) -> Entry | None:
    kind = entry & TYPE
    if kind == TABLE:
        return Entry(entry & 0xFFFF_FC00, ALL, 0)
    if kind != SECTION:
        return None
    protection = _protection(entry & SECTION_RO, entry & SECTION_NX)
    if entry & SUPERSECTION:
        high = (entry & 0x00F0_0000) << 12 | (entry & 0x1E0) << 31
        return Entry(entry & 0xFF00_0000 | high, protection, 1 << 24)
    return Entry(entry & 0xFFF0_0000, protection, 1 << 20)


def _protection(read_only: int, no_execute: int) -> int:
    return READ | (0 if read_only else WRITE) | (0 if no_execute else EXECUTE)


def decode_v4(entry: int, shift: int) -> Entry | None:
    """Descriptors before ARMv6: nothing is NX, and pages of 1 KB are not used."""
    kind = entry & TYPE
    if shift == 20:
        if kind == SECTION:
            return Entry(entry & 0xFFF0_0000, ALL, 1 << 20)
        return Entry(entry & 0xFFFF_FC00, ALL, 0) if kind == TABLE else None
    protection = READ | WRITE | EXECUTE if entry & V4_WRITABLE else READ | EXECUTE
    if kind == LARGE:
        return Entry(entry & 0xFFFF_0000, protection, 1 << 16)
    if kind == SMALL:
        return Entry(entry & SMALL_FRAME, protection, 1 << 12)
    return None


def _long_address(entry: int) -> int:
    return entry & LONG_FRAME


_SHORT_LEVELS = (Level(20, 12), Level(12, 8))
SHORT = Paging(
    name="short",
    levels=_SHORT_LEVELS,
    entry_size=4,
    decode=decode,
    frame=SMALL_FRAME,
    root_members=("pm_pt1",),
)
SHORT_V4 = Paging(
    name="short-v4", levels=_SHORT_LEVELS, entry_size=4, decode=decode_v4, frame=SMALL_FRAME
)
LONG = Paging(
    name="long",
    levels=(Level(30, 2), Level(21, 9), Level(12, 9)),
    entry_size=8,
    decode=aarch64.decoder(12, 30, _long_address),
    frame=LONG_FRAME,
)


def _arch(name: str, paging: Paging, *others: Paging, aliases: tuple[str, ...] = ()) -> Arch:
    return Arch(
        name=name,
        machine="arm",
        aliases=aliases,
        elf=(40, 1, 1),
        abi=Abi("<", 4),
        page_size=4096,
        pagings={one.name: one for one in (paging, *others)},
        kernel_base=0xC000_0000,
        user_end=0xBFC0_0000,
    )


ARCHES = (
    _arch("armv7", SHORT, LONG, SHORT_V4),
    _arch("armv6", SHORT, SHORT_V4),
    _arch("arm", SHORT_V4, SHORT, aliases=("armv5",)),
)
