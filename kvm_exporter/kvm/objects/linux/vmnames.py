"""What are the counters of /proc/vmstat called?  By the kernel's own texts, or else by its enums.

1. vmstat_text has the names, in this order: of a zone's pages, of NUMA events (only with
   CONFIG_NUMA), of a node's pages, of some limits, of events, whose first one is ``pgpgin``
   (mm/vmstat.c).
2. Where it cannot be found (a kernel without CONFIG_KALLSYMS_ALL), the enums that number the
   counters tell their names: in capitals, and some in other words.

Sources: include/linux/mmzone.h, include/linux/vm_event_item.h.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.objects.linux import variables
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types.flatten import constants

TEXTS = "vmstat_text"
FIRST_EVENT = "pgpgin"

LONGEST_NAME = 64
MOST_LIMITS = 16
"""Between the nodes' pages and the events: 2, since 6.11 4."""

ZONE, NUMA, NODE, EVENT = "zone_stat_item", "numa_stat_item", "node_stat_item", "vm_event_item"

NO_COUNTER = re.compile(r".*_BASE|NR_VM_.*_ITEMS")
"""Members of the enums that are the first of a group, and how many there are."""

BEGINNINGS = {
    "unevictable_pg": "unevictable_pgs_",
    "kcompactd_": "compact_daemon_",
    "pgscan_skip_": "pgskip_",
    "pgscan_zone_reclaim_": "zone_reclaim_",
}
"""How a name begins in the enum → in vmstat."""

RENAMED = {
    "nr_free_cma_pages": "nr_free_cma",
    "nr_slab_reclaimable_b": "nr_slab_reclaimable",
    "nr_slab_unreclaimable_b": "nr_slab_unreclaimable",
    "nr_anon_mapped": "nr_anon_pages",
    "nr_file_mapped": "nr_mapped",
    "nr_file_dirty": "nr_dirty",
    "nr_unstable_nfs": "nr_unstable",
    "nr_shmem_thps": "nr_shmem_hugepages",
    "nr_file_thps": "nr_file_hugepages",
    "nr_anon_thps": "nr_anon_transparent_hugepages",
    "nr_vmscan_immediate": "nr_vmscan_immediate_reclaim",
    "nr_kernel_stack_kb": "nr_kernel_stack",
    "nr_kernel_scs_kb": "nr_shadow_call_stack",
    "nr_pagetable": "nr_page_table_pages",
    "nr_secondary_pagetable": "nr_sec_page_table_pages",
    "nr_swapcache": "nr_swapcached",
    "numa_interleave_hit": "numa_interleave",
    "numa_page_migrate": "numa_pages_migrated",
    "compactmigrate_scanned": "compact_migrate_scanned",
    "compactfree_scanned": "compact_free_scanned",
    "compactisolated": "compact_isolated",
    "compactstall": "compact_stall",
    "compactfail": "compact_fail",
    "compactsuccess": "compact_success",
    "htlb_buddy_pgalloc": "htlb_buddy_alloc_success",
    "htlb_buddy_pgalloc_fail": "htlb_buddy_alloc_fail",
    "thp_scan_exceed_shared_pte": "thp_scan_exceed_share_pte",
    "direct_map_level2_split": "direct_map_level2_splits",
    "direct_map_level3_split": "direct_map_level3_splits",
}


@dataclass(frozen=True, slots=True)
class Counts:
    """How many counters there are of each kind."""

    zone: int
    numa: int
    node: int
    events: int

    @property
    def pages(self) -> int:
        """Those before the limits."""
        return self.zone + self.numa + self.node


@dataclass(frozen=True, slots=True)
class Names:
    """In the order of the counters; ``pages`` are NUMA events, too.  Empty: it has no name."""

    pages: list[str]
    events: list[str]


def read_names(target: Target, counts: Counts) -> Names:
    """The names of all counters.  Errors: KvmError."""
    return _texts(target, counts) if variables.has(target, TEXTS) else _enumerated(target, counts)


def _texts(target: Target, counts: Counts) -> Names:
    table, width = target.address(TEXTS), target.abi.pointer_size

    def name(at: int) -> str:
        return target.string(target.pointer(table + width * at), LONGEST_NAME)

    pages = [name(at) for at in range(counts.pages)]
    behind = range(counts.pages, counts.pages + MOST_LIMITS)
    first = next((at for at in behind if name(at) == FIRST_EVENT), None)
    if first is None:
        raise FormatError(f"{TEXTS}: no {FIRST_EVENT} where it should be")
    return Names(pages, [name(at) for at in range(first, first + counts.events)])


def _enumerated(target: Target, counts: Counts) -> Names:
    numa = _of_enum(target, NUMA, counts.numa) if counts.numa else []
    pages = [*_of_enum(target, ZONE, counts.zone), *numa, *_of_enum(target, NODE, counts.node)]
    return Names(pages, _of_enum(target, EVENT, counts.events))


def _of_enum(target: Target, enum: str, count: int) -> list[str]:
    names: dict[int, str] = {}
    for name, value in constants(target.types, f"enum {enum}").items():
        if not NO_COUNTER.fullmatch(name):
            names.setdefault(value, _told(name.lower()))
    return [names.get(number, "") for number in range(count)]


def _told(name: str) -> str:
    """As vmstat has it."""
    for beginning, other in BEGINNINGS.items():
        if name.startswith(beginning):
            return other + name.removeprefix(beginning)
    return RENAMED.get(name, name)
