"""How does mips see memory?  Fixed windows on physical memory, and a TLB that software fills.

What a minidump keeps of kernel virtual memory are PTEs as the TLB takes them (EntryLo), of 4 or 8
bytes; there is no table that the processor walks.  FreeBSD dropped the architecture after 13.

Sources: sys/mips/include/pte.h, cpuregs.h and lib/libkvm/kvm_mips.h of FreeBSD 12.
"""

from __future__ import annotations

from typing import Literal

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.arch import Arch
from kvm_exporter.kvm.paging import Decode, Entry, Level, Paging
from kvm_exporter.kvm.space import EXECUTE, READ, WRITE
from kvm_exporter.kvm.translation import DirectMap

VALID = 1 << 1
FRAME_32 = 0x1FFF_FFC0
FRAME_64 = 0x3_FFFF_FFC0
READ_ONLY_32 = 1 << 29
READ_ONLY_64 = 1 << 55
"""The first of the bits that are software's."""


def _decoder(frame: int, read_only: int) -> Decode:
    def decode(entry: int, _shift: int) -> Entry | None:
        if not entry & VALID:
            return None
        protection = READ | EXECUTE if entry & read_only else READ | WRITE | EXECUTE
        # the frame's number starts at bit 6
        return Entry((entry & frame) << 6, protection, 1 << 12)

    return decode


_SEGMENT = 1 << 29
WINDOWS_32 = (
    DirectMap(0x8000_0000, 0x8000_0000 + _SEGMENT),  # kseg0, cached
    DirectMap(0xA000_0000, 0xA000_0000 + _SEGMENT),  # kseg1, uncached
)
WINDOWS_64 = (
    # xkphys, one for each way of caching
    *(DirectMap(0b10 << 62 | way << 59, (0b10 << 62 | way << 59) + (1 << 59)) for way in range(8)),
    *(
        DirectMap(one.base | 0xFFFF_FFFF_0000_0000, one.end | 0xFFFF_FFFF_0000_0000)
        for one in WINDOWS_32
    ),
)


def _pagings(order: Literal["<", ">"]) -> tuple[Paging, Paging]:
    narrow = _decoder(FRAME_32, READ_ONLY_32)
    wide = _decoder(FRAME_64, READ_ONLY_64)
    return (
        Paging(
            "pte64",
            (Level(12, 9),),
            entry_size=8,
            decode=wide,
            order=order,
            shifted=6,
            frame=FRAME_64,
        ),
        Paging(
            "pte32",
            (Level(12, 10),),
            entry_size=4,
            decode=narrow,
            order=order,
            shifted=6,
            frame=FRAME_32,
        ),
    )


def _arch(name: str, order: Literal["<", ">"], size: Literal[4, 8]) -> Arch:
    wide = size == 8
    return Arch(
        name=name,
        machine="mips",
        elf=(8, 2 if wide else 1, 1 if order == "<" else 2),
        abi=Abi(order, size),
        page_size=4096,
        # which of them is the dump's to say: n32 kernels have wide ones
        pagings={one.name: one for one in _pagings(order)},
        kernel_base=0xC000_0000_0000_0000 if wide else 0xC000_0000,
        windows=WINDOWS_64 if wide else WINDOWS_32,
        user_end=1 << 40 if wide else 0x8000_0000,
    )


ARCHES = (
    _arch("mips64", ">", 8),
    _arch("mips64el", "<", 8),
    _arch("mips", ">", 4),
    _arch("mipsel", "<", 4),
)
