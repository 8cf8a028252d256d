"""How much memory would a dead Linux have given, and how much might have been dirty?

What the kernel works out from its counters of pages, as it does (all are pages):

1. Available: free pages without what is kept back, file pages and reclaimable slab without the half
   of either, or the low watermarks, which stay (si_mem_available() in mm/page_alloc.c).
2. Dirtyable: free pages without what is kept back, and file pages; of memory that the kernel does
   not map only if vm.highmem_is_dirtyable (global_dirtyable_memory() in mm/page-writeback.c).
3. The thresholds are shares of that, in page-size-ths, or numbers of bytes (domain_dirty_limits()).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from kvm_exporter.kvm.objects.linux import variables
from kvm_exporter.kvm.objects.linux.zones import (
    NR_FREE_PAGES,
    WMARK_HIGH,
    WMARK_LOW,
    Zones,
    pages,
    watermark,
)
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types.flatten import constants

FILES = ("NR_ZONE_INACTIVE_FILE", "NR_ZONE_ACTIVE_FILE")


class Dirty(NamedTuple):
    """nr_dirty_threshold and nr_dirty_background_threshold."""

    threshold: int
    background: int


def available(target: Target, values: Mapping[str, int], zones: Zones) -> int:
    """MemAvailable.  Errors: KvmError."""
    low = sum(watermark(zone, WMARK_LOW) for zone in zones.every)
    files = values.get("nr_active_file", 0) + values.get("nr_inactive_file", 0)
    reclaimable = values.get("nr_slab_reclaimable", 0)
    reclaimable += values.get("nr_kernel_misc_reclaimable", 0)
    free = values.get("nr_free_pages", 0) - variables.unsigned_long(target, "totalreserve_pages")
    return max(free + sum(one - min(one // 2, low) for one in (files, reclaimable)), 0)


def dirty(target: Target, values: Mapping[str, int], zones: Zones, page_size: int) -> Dirty:
    """The thresholds for who is no real-time task.  Errors: KvmError."""
    total = _dirtyable(target, values, zones)
    threshold = _share(target, total, page_size, "vm_dirty_ratio", "vm_dirty_bytes")
    names = ("dirty_background_ratio", "dirty_background_bytes")
    background = _share(target, total, page_size, *names)
    return Dirty(threshold, background if background < threshold else threshold // 2)


def _share(target: Target, total: int, page_size: int, ratio: str, in_bytes: str) -> int:
    if size := variables.unsigned_long(target, in_bytes):
        return -(-size // page_size)
    return variables.integer(target, ratio) * page_size // 100 * total // page_size


def _dirtyable(target: Target, values: Mapping[str, int], zones: Zones) -> int:
    free = values.get("nr_free_pages", 0)
    free -= min(free, variables.unsigned_long(target, "totalreserve_pages"))
    total = free + values.get("nr_inactive_file", 0) + values.get("nr_active_file", 0)
    if zones.high and not variables.integer(target, "vm_highmem_is_dirtyable"):
        total -= min(_high(target, zones), total)
    return total + 1


def _high(target: Target, zones: Zones) -> int:
    """Of zones that the kernel does not map (highmem_dirtyable_memory())."""
    items = constants(target.types, "enum zone_stat_item")
    files = [items[name] for name in FILES if name in items]
    total = 0
    for zone in zones.high:
        free = pages(zone, NR_FREE_PAGES)
        total += free - min(free, watermark(zone, WMARK_HIGH))
        total += sum(pages(zone, item) for item in files)
    return total
