"""Which fields of /proc/meminfo are the architecture's own?  DirectMap* and VmallocTotal.

1. direct_pages_count has the numbers of pages of each size that map all memory
   (arch_report_meminfo() in arch/x86/mm/pat/set_memory.c, arch/powerpc/mm/book3s64/pgtable.c).
2. The address space of vmalloc() is of one size on x86_64 for each depth of page tables
   (arch/x86/include/asm/pgtable_64_types.h); arm64 and riscv tell it in VMCOREINFO.

Other architectures do not tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from kvm_exporter.kvm.objects.linux import variables
from kvm_exporter.kvm.objects.linux.told import Told
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types.flatten import size_of

KIB = 1024


class Row(NamedTuple):
    """A field: which counter, and the KiB of a page of that size."""

    counter: int
    size: int


X86 = {"DirectMap4k": Row(1, 4), "DirectMap2M": Row(2, 2048)}
"""enum pg_level (arch/x86/include/asm/pgtable_types.h)."""

X86_GIGABYTE = {"DirectMap1G": Row(3, 1 << 20)}
X86_SMALL = {"DirectMap4k": Row(1, 4), "DirectMap4M": Row(2, 4096)}

RADIX = {
    "DirectMap4k": Row(0, 4),
    "DirectMap64k": Row(2, 64),
    "DirectMap2M": Row(7, 2048),
    "DirectMap1G": Row(13, 1 << 20),
}
"""MMU_PAGE_* (arch/powerpc/include/asm/mmu.h)."""

GIGABYTES = "direct_gbpages"


TERABYTE = 1 << 40
VMALLOC = {0: 32 * TERABYTE, 1: 12800 * TERABYTE}
"""VMALLOC_SIZE_TB with four and with five levels of page tables."""

BOUNDS = ("VMALLOC_START", "VMALLOC_END")
L5_ENABLED = "__pgtable_l5_enabled"


def vmalloc_total(target: Target, machine: str, told: Told | None) -> int | None:
    """Bytes as meminfo rounds them; None where neither kernel nor VMCOREINFO tells (rule 2)."""
    start, end = (told.number(name) if told else None for name in BOUNDS)
    if start is not None and end is not None:
        return (end - start & target.abi.address_mask) // KIB * KIB
    if machine != "amd64":
        return None
    deep = variables.unsigned(target, L5_ENABLED) if variables.has(target, L5_ENABLED) else 0
    return (VMALLOC[min(deep, 1)] - 1) // KIB * KIB


def direct_map(target: Target, machine: str) -> dict[str, int]:
    """DirectMap*, in bytes; none where the architecture, ``machine`` of Arch.name, does not tell.

    Errors: Fault, TypeMissing.
    """
    if not variables.has(target, "direct_pages_count"):
        return {}
    table, width = target.address("direct_pages_count"), target.abi.pointer_size
    return {
        field: target.integer(table + width * row.counter, width) * row.size * KIB
        for field, row in _rows(target, machine).items()
    }


def _rows(target: Target, machine: str) -> Mapping[str, Row]:
    if machine.startswith("powerpc"):
        return RADIX
    if machine == "amd64":
        one = variables.has(target, GIGABYTES) and variables.integer(target, GIGABYTES)
        return X86 | (X86_GIGABYTE if one else {})
    if machine == "i386":
        return X86 if size_of(target.types.find("pte_t")) == 8 else X86_SMALL
    return {}
