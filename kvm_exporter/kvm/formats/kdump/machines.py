"""Which architecture is a kdump's?  Its utsname tells the family, its header's layout the rest.

QEMU's name is that of the program, not of the guest: an i386 guest of qemu-system-x86_64 has
32-bit headers and x86_64 as its name, one of qemu-system-i386 with more than 4 GiB 64-bit headers.
"""

from __future__ import annotations

import re

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.arch import Arch, arches
from kvm_exporter.kvm.formats.kdump.header import Header

FAMILIES: tuple[tuple[re.Pattern[str], int, int], ...] = (
    (re.compile(r"x86[_-]64|amd64|i.?86", re.IGNORECASE), 62, 3),
    (re.compile(r"aarch64|arm", re.IGNORECASE), 183, 40),
    (re.compile(r"ppc|powerpc", re.IGNORECASE), 21, 20),
    (re.compile(r"riscv", re.IGNORECASE), 243, 243),
    (re.compile(r"mips", re.IGNORECASE), 8, 8),
)
"""How utsname.machine begins; e_machine of the 64-bit kernels, of the 32-bit ones (elf(5))."""

NARROW = re.compile(r"i.?86|arm(?!64)|ppc(?!64)|riscv32|mips(?!64)", re.IGNORECASE)
"""Machines of 32 bits, whatever the layout."""


def find_machine(header: Header) -> tuple[Arch | None, Abi]:
    """The architecture, None where it is none of those known, and how it lays out words."""
    name = header.utsname.machine
    width = 4 if NARROW.match(name) else header.width
    abi = Abi(header.order, width)
    for beginning, wide, narrow in FAMILIES:
        if beginning.match(name):
            elf = (wide if width == 8 else narrow, width // 4, 1 if abi.order == "<" else 2)
            known = [arch for arch in arches() if arch.elf == elf]
            fitting = [arch for arch in known if arch.page_size == header.words.block_size]
            return next(iter(fitting or known), None), abi
    return None, abi
