"""Which architecture do a core's notes of its processors tell?

1. struct elf_prstatus has another size on each: that names those that a header does not.
2. QEMU writes the cores of a little-endian powerpc64 in the order in which its hypervisor would
   take interrupts, big-endian as a rule (target/ppc/arch_dump.c).  The machine state register knows
   in which order the processor was.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Literal

from kvm_exporter.kvm.arch import Elf
from kvm_exporter.kvm.elf import Note

STATUSES: Mapping[tuple[int, str], Elf] = MappingProxyType(
    {
        (336, "<"): (62, 2, 1),
        (144, "<"): (3, 1, 1),
        (392, "<"): (183, 2, 1),
        (148, "<"): (40, 1, 1),
        (504, "<"): (21, 2, 1),
        (504, ">"): (21, 2, 2),
        (376, "<"): (243, 2, 1),
    }
)
"""Bytes of a struct elf_prstatus (include/linux/elfcore.h) and byte order → ELF's architecture."""

POWERPC64 = 21
BIG_POWERPC64: Elf = (POWERPC64, 2, 2)
MSR_AT = 112 + 33 * 8
"""In powerpc64's elf_prstatus: pr_reg has 32 registers, the next instruction's address, and MSR."""
MSR_LE = 1

NT_PRSTATUS = 1


def elf_of_processors(notes: Iterable[Note], order: Literal["<", ">"]) -> Elf | None:
    """(e_machine, EI_CLASS, EI_DATA) of the kernel; None where no note tells.

    ``order`` is that of the notes.
    """
    for note in notes:
        if (note.name, note.type) == (b"CORE", NT_PRSTATUS):
            elf = STATUSES.get((len(note.description), order))
            return _of_qemu(note) if elf == BIG_POWERPC64 else elf
    return None


def _of_qemu(note: Note) -> Elf:
    """Rule 2."""
    (state,) = struct.unpack_from(">Q", note.description, MSR_AT)
    return POWERPC64, 2, 1 if state & MSR_LE else 2
