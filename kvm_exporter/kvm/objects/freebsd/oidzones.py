"""What do the handlers answer that know UMA's zones?

A zone counts what it hands out in counters, and each CPU's cache what it has handed out since
(sys/vm/uma_core.c, uma_int.h).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from kvm_exporter.kvm.objects.freebsd.oidkernel import INT, QUAD, Answer, Kernel
from kvm_exporter.kvm.objects.freebsd.oidtree import Oid

ZONE, CACHE = "struct uma_zone", "struct uma_cache"
ITEMS = (1 << 44) - 1
"""UZ_ITEMS_COUNT of uz_items; the bits above count sleepers."""


def zone_items(kernel: Kernel, oid: Oid) -> bytes:
    """Items that count against a zone's limit."""
    return kernel.spelled(kernel.member(ZONE, "uz_items", oid.arg1) & ITEMS, QUAD)


def zone_max(kernel: Kernel, oid: Oid) -> bytes:
    """The limit of a zone's items."""
    return kernel.spelled(kernel.member(ZONE, "uz_max_items", kernel.pointer(oid)), INT)


def zone_count(kernel: Kernel, oid: Oid, member: str) -> bytes:
    """Allocations, or frees, of a zone."""
    return kernel.spelled(_counted(kernel, oid.arg1, member), QUAD)


def zone_current(kernel: Kernel, oid: Oid) -> bytes:
    """Items in use; arg1 is a pointer to the zone's where arg2 is 0."""
    zone = oid.arg1 if oid.arg2 else kernel.pointer(oid)
    used = _counted(kernel, zone, "allocs") - _counted(kernel, zone, "frees")
    return kernel.spelled(max(used, 0), INT)


def _counted(kernel: Kernel, zone: int, member: str) -> int:
    """What a zone's counter has, and what each CPU's cache has counted since."""
    total = kernel.counted(ZONE, f"uz_{member}", zone)
    cache = kernel.record(CACHE, f"uc_{member}")
    first = zone + kernel.offset(ZONE, "uz_cpu")
    for cpu in kernel.cpus.addresses:
        total += cache.at(first + cpu * cache.size)[0]
    return total


ZONES: Mapping[str, Answer] = {
    "sysctl_handle_uma_zone_max": zone_max,
    "sysctl_handle_uma_zone_cur": zone_current,
    "sysctl_handle_uma_zone_allocs": partial(zone_count, member="allocs"),
    "sysctl_handle_uma_zone_frees": partial(zone_count, member="frees"),
    "sysctl_handle_uma_zone_items": zone_items,
}
"""By symbol."""
