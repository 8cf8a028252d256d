"""Where was a dead Linux's memory?  The same as /proc/meminfo and /proc/vmstat tell of a live one.

What vmstat counts and what meminfo works out stand by themselves: where one cannot be had, the
other is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from kvm_exporter.kvm.arch import Arch
from kvm_exporter.kvm.objects.linux import (
    hugepages,
    limits,
    machinememory,
    memory,
    swap,
    variables,
    vmcounters,
)
from kvm_exporter.kvm.objects.linux.meminfo import Meminfo
from kvm_exporter.kvm.objects.linux.percpu import PerCpu
from kvm_exporter.kvm.objects.linux.told import Told
from kvm_exporter.kvm.objects.linux.zones import Zones
from kvm_exporter.kvm.objects.model import Memory, SwapActivity
from kvm_exporter.kvm.target import Target

BOOKED = ("nr_memmap_pages", "nr_memmap_boot_pages")
"""In vmstat since 6.11, beside the thresholds; variables have the same names."""


def from_memory(target: Target, cpus: PerCpu, arch: Arch, told: Told | None = None) -> Memory:
    """Bytes by queue and by the kernel's names; what cannot be had is absent, and counted."""
    zones, page_size = Zones(target), arch.page_size
    values = _values(target, cpus, zones)
    powerpc = arch.name.startswith("powerpc")
    huge = hugepages.transparent(target, page_size, powerpc=powerpc)
    info = Meminfo(target, cpus, zones, values, page_size, huge)
    fields = info.fields() | _of_machine(target, arch.name, told)
    levels = vmcounters.told(values, huge) | _limits(target, values, zones, page_size)
    return memory.joined(fields, info.huge(), levels)


def _of_machine(target: Target, machine: str, told: Told | None) -> dict[str, int]:
    """The architecture's own fields of meminfo."""
    read = partial(machinememory.direct_map, target, machine)
    found = variables.known(target, "direct_pages_count", read) or {}
    size = partial(machinememory.vmalloc_total, target, machine, told)
    total = variables.known(target, "vmalloc", size)
    return found if total is None else found | {"VmallocTotal": total}


def activity_from_memory(target: Target, cpus: PerCpu, page_size: int) -> SwapActivity:
    """Bytes swapped since boot, as swap.activity_from_live has them."""
    return swap.activity(_values(target, cpus, Zones(target)), page_size)


def _values(target: Target, cpus: PerCpu, zones: Zones) -> dict[str, int]:
    read = vmcounters.VmCounters(target, cpus, zones).read
    return variables.known(target, "vmstat", read) or {}


def _limits(
    target: Target, values: Mapping[str, int], zones: Zones, page_size: int
) -> dict[str, int]:
    """What vmstat has between the pages and the events."""
    found = {
        name: variables.known(target, name, partial(variables.long, target, name))
        for name in BOOKED
        if variables.has(target, name)
    }
    read = partial(limits.dirty, target, values, zones, page_size)
    dirty = variables.known(target, "vmstat nr_dirty_threshold", read) if values else None
    if dirty:
        found["nr_dirty_threshold"] = dirty.threshold
        found["nr_dirty_background_threshold"] = dirty.background
    return {name: value for name, value in found.items() if value is not None}
