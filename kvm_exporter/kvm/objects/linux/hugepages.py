"""Which huge pages does a dead Linux have?  Its pools of them, and how large a transparent one is.

hstates has a pool for each size; meminfo tells the numbers of the default one, and the bytes of all
(hugetlb_report_meminfo() in mm/hugetlb.c).  A transparent huge page is what an entry of the last
page table but one maps (HPAGE_PMD_NR): as many pages as a page has entries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kvm_exporter.kvm.errors import FormatError, KvmError
from kvm_exporter.kvm.objects.linux import variables
from kvm_exporter.kvm.objects.structs import Struct, Values
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types.flatten import size_of

HSTATE = "struct hstate"
NUMBERS = {
    "HugePages_Total": "nr_huge_pages",
    "HugePages_Free": "free_huge_pages",
    "HugePages_Rsvd": "resv_huge_pages",
    "HugePages_Surp": "surplus_huge_pages",
}
"""Field → member."""

MOST_POOLS = 16
"""More than HUGE_MAX_HSTATE of any kernel."""

LARGEST_ORDER = 40

POWERPC_PMD = 2 << 20
"""Bytes that an entry of radix trees' last table but one maps, whatever the page size."""


def pools(target: Target) -> Sequence[Values]:
    """The members of each pool, the default one first; none of a kernel without.

    Errors: KvmError.
    """
    if not variables.has(target, "hstates", "hugetlb_report_meminfo"):
        return ()
    count = variables.integer(target, "hugetlb_max_hstate")
    chosen = variables.integer(target, "default_hstate_idx")
    if not 0 <= count <= MOST_POOLS or not 0 <= chosen < max(count, 1):
        raise FormatError(f"hstates: there cannot be {count} pools, the default one being {chosen}")
    reader = Struct(target, HSTATE, ("order", *NUMBERS.values()))
    size, table = target.view(0, HSTATE).size, target.address("hstates")
    found = [reader.values(table + size * at) for at in range(count)]
    whole = [pool for pool in found if pool and pool["order"] <= LARGEST_ORDER]
    if len(whole) != count:
        raise FormatError("hstates: pools of huge pages are damaged")
    return [*whole[chosen : chosen + 1], *whole[:chosen], *whole[chosen + 1 :]]


def numbers(pools: Sequence[Values]) -> Mapping[str, int]:
    """The HugePages_* of the default pool."""
    return {field: pools[0][member] for field, member in NUMBERS.items()} if pools else {}


def size(pools: Sequence[Values]) -> int:
    """Pages in all pools."""
    return sum(pool["nr_huge_pages"] << pool["order"] for pool in pools)


def transparent(target: Target, page_size: int, *, powerpc: bool) -> int:
    """Pages of a transparent huge page (HPAGE_PMD_NR)."""
    if powerpc:
        return max(POWERPC_PMD // page_size, 1)
    try:
        entry = size_of(target.types.find("pte_t"))
    except KvmError:
        entry = None
    return max(page_size // (entry or target.abi.pointer_size), 1)
