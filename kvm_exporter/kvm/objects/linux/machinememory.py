"""Which fields of /proc/meminfo are the architecture's own?  DirectMap* and VmallocTotal.

1. direct_pages_count has the numbers of pages of each size that map all memory
   (arch_report_meminfo() in arch/x86/mm/pat/set_memory.c, arch/powerpc/mm/book3s64/pgtable.c).
2. The address space of vmalloc() is told in VMCOREINFO (arm64, riscv) or by variables (powerpc); on
   x86_64 it is of one size for each depth of page tables (asm/pgtable_64_types.h), on arm it goes
   from 8 MiB or less above the direct map to a fixed end (asm/pgtable.h).

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

CPU, SPEC = "cur_cpu_spec", "struct cpu_spec"
MMU_FTR_TYPE_RADIX = 1 << 6
"""Without, a processor has a hash table, and nothing is told (arch_report_meminfo())."""

GIGABYTES = "direct_gbpages"

TERABYTE = 1 << 40
VMALLOC = {False: 32 * TERABYTE, True: 12800 * TERABYTE}
"""VMALLOC_SIZE_TB with four and with five levels of page tables."""

BOUNDS, VARIABLES = ("VMALLOC_START", "VMALLOC_END"), ("__vmalloc_start", "__vmalloc_end")
HIGH_MEMORY = "high_memory"
ARM_GAP, ARM_END = 8 << 20, 0xFF800000
"""VMALLOC_OFFSET, VMALLOC_END."""

L5_ENABLED = "__pgtable_l5_enabled"


def vmalloc_total(target: Target, machine: str, told: Told | None) -> int | None:
    """Bytes as meminfo rounds them; None where neither kernel nor VMCOREINFO tells (rule 2).

    Errors: Fault.
    """
    size = _between(target, told) or (_x86_64(target, told) if machine == "amd64" else None)
    if size is None and machine.startswith("arm") and variables.has(target, HIGH_MEMORY):
        start = variables.unsigned_long(target, HIGH_MEMORY) + ARM_GAP
        size = max(ARM_END - start // ARM_GAP * ARM_GAP, 0)
    return None if size is None else size // KIB * KIB


def _between(target: Target, told: Told | None) -> int | None:
    bounds = [told.number(name) if told else None for name in BOUNDS]
    if None in bounds and variables.has(target, VARIABLES[0]):
        bounds = [variables.unsigned_long(target, name) for name in VARIABLES]
    start, end = bounds
    return None if start is None or end is None else end - start & target.abi.address_mask


def _x86_64(target: Target, told: Told | None) -> int:
    deep = told.number(L5_ENABLED.strip("_")) if told else None
    if deep is None:
        deep = variables.unsigned(target, L5_ENABLED) if variables.has(target, L5_ENABLED) else 0
    return VMALLOC[bool(deep)] - 1


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
        return RADIX if _is_radix(target) else {}
    if machine == "amd64":
        one = variables.has(target, GIGABYTES) and variables.integer(target, GIGABYTES)
        return X86 | (X86_GIGABYTE if one else {})
    if machine == "i386":
        return X86 if size_of(target.types.find("pte_t")) == 8 else X86_SMALL
    return {}


def _is_radix(target: Target) -> bool:
    if not variables.has(target, CPU) or not target.has(SPEC, "mmu_features"):
        return True
    at = target.pointer(target.address(CPU)) + target.offset(SPEC, "mmu_features")
    return bool(target.integer(at, 4) & MMU_FTR_TYPE_RADIX)
