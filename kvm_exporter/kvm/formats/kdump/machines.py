"""Which architecture is a kdump's?  Its utsname tells the family, its header's layout the rest.

1. QEMU's name is that of the program, not of the guest: an i386 guest of qemu-system-x86_64 has
   32-bit headers and x86_64 as its name, one of qemu-system-i386 with memory up to the end of 4 GiB
   64-bit headers.  Of arm, arm64, powerpc and riscv the name is Unknown.
2. Then the notes of its processors tell.
3. The block size is the kernel's page size if makedumpfile wrote it, and the largest that there
   could be if QEMU did.  So pages here are those of the architecture; VMCOREINFO knows better.
"""

from __future__ import annotations

import re

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.arch import Arch, Elf, arches
from kvm_exporter.kvm.elf import parse_notes
from kvm_exporter.kvm.formats.kdump.header import Header
from kvm_exporter.kvm.formats.processors import elf_of_processors
from kvm_exporter.kvm.source import Readable

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

LONGEST_NOTES = 1 << 16
"""Bytes of notes that are looked at: the first CPU's come first."""


def find_machine(source: Readable, header: Header) -> tuple[Arch | None, Abi]:
    """The architecture, None where it is none of those known, and how it lays out words."""
    elf = _by_name(header) or _by_notes(source, header)
    arch = next((arch for arch in arches() if arch.elf == elf), None)
    return arch, arch.abi if arch else Abi(header.order, header.width)


def _by_name(header: Header) -> Elf | None:
    name = header.utsname.machine
    bits = 1 if NARROW.match(name) else header.width // 4
    for beginning, wide, narrow in FAMILIES:
        if beginning.match(name):
            return wide if bits == 2 else narrow, bits, 1 if header.order == "<" else 2
    return None


def _by_notes(source: Readable, header: Header) -> Elf | None:
    at, size = header.sub.notes_at, min(header.sub.notes_size, LONGEST_NOTES)
    if at <= 0:
        return None
    notes = parse_notes(source.read(at, size), Abi(header.order, header.width))
    return elf_of_processors(notes, header.order)
