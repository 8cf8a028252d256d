"""What would /proc/vmstat say of a dead Linux?  Its names and its numbers, out of memory.

1. vmstat_text has the names, in this order: of a zone's pages, of a node's NUMA events (only with
   CONFIG_NUMA), of a node's pages, of some limits, of events, whose first one is ``pgpgin``
   (vmstat_start() in mm/vmstat.c).  How many there are of each, arrays of the structs tell.
2. Pages are what the CPUs have handed in (vm_zone_stat, vm_node_stat), never below zero; what a CPU
   has of its own yet, up to its threshold, /proc leaves out, too.
3. NUMA events: since 5.14 (f19298b9516c) what each zone's CPUs have of their own is added to
   vm_numa_event; before, vm_numa_stat alone.
4. Events are each online CPU's, added up; pgpgin and pgpgout are sectors, told as KiB.
5. Huge pages are told as such, but since 5.12 (69473e5de873) counted in pages.  That is to be seen
   by nr_swapcached, which came with 5.12, too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence

from kvm_exporter.kvm.errors import FormatError, TypeMissing
from kvm_exporter.kvm.objects.linux.percpu import PerCpu
from kvm_exporter.kvm.objects.linux.zones import Zones
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types.flatten import composite, member
from kvm_exporter.kvm.types.model import Array, resolve

FIRST_EVENT = "pgpgin"
IN_SECTORS = frozenset({"pgpgin", "pgpgout"})

HUGE = frozenset(
    {
        "nr_anon_transparent_hugepages",
        "nr_shmem_hugepages",
        "nr_shmem_pmdmapped",
        "nr_file_hugepages",
        "nr_file_pmdmapped",
    }
)
"""vmstat_item_print_in_thp() (include/linux/mmzone.h)."""

IN_PAGES = "nr_swapcached"
"""What a kernel has that counts huge pages in pages."""

ZEROS = ("nr_unstable",)
LONGEST_NAME = 64
MOST = 1 << 10
"""Items of a kind at most; there are about 100 events."""

MOST_LIMITS = 16
"""Between the nodes' pages and the events: 2, since 6.11 4."""

ZONE_STAT, EVENT_STATE = "struct per_cpu_zonestat", "struct vm_event_state"


def told(values: Mapping[str, int], huge: int) -> dict[str, int]:
    """As /proc/vmstat has them: huge pages, of ``huge`` pages each, as such (rule 5).

    What it tells as zero for old programs' sake, too, since 5.8 (8d92890bd6b8).
    """
    values = {**dict.fromkeys(ZEROS, 0), **values} if values else values
    if IN_PAGES not in values:
        return dict(values)
    return {name: n // huge if name in HUGE else n for name, n in values.items()}


def in_pages(values: Mapping[str, int], name: str, huge: int) -> int | None:
    """One of the counters of huge pages, in pages; None if this kernel has none."""
    count = values.get(name)
    return count if count is None or IN_PAGES in values else count * huge


class VmCounters:
    """Reads vmstat of one kernel.  Errors: KvmError where it cannot be had."""

    def __init__(self, target: Target, cpus: PerCpu, zones: Zones) -> None:
        self._target = target
        self._cpus = cpus
        self._zones = zones

    def read(self) -> dict[str, int]:
        """Pages, NUMA events and events by name, without the limits; no page is a huge one."""
        pages = self._pages("vm_zone_stat", "struct zone") + self._numa()
        pages += self._pages("vm_node_stat", "struct pglist_data")
        names = self._names(len(pages))
        first = names.index(FIRST_EVENT, len(pages))
        events = zip(names[first:], self._events(), strict=True)
        found = dict(zip(names, pages, strict=False))
        found |= {name: n // 2 if name in IN_SECTORS else n for name, n in events}
        found.pop("", None)  # nr_indirectly_reclaimable of 4.17 to 4.19 has no name
        return found

    def _pages(self, name: str, struct_: str) -> list[int]:
        count = _count(self._target, struct_, "vm_stat")
        return [max(value, 0) for value in self._longs(self._target.address(name), count)]

    def _numa(self) -> list[int]:
        target = self._target
        if target.has(ZONE_STAT, "vm_numa_event"):
            count = _count(target, ZONE_STAT, "vm_numa_event")
            handed_in = self._longs(target.address("vm_numa_event"), count)
            return _columns([handed_in, *self._own_numa(count)])
        if target.has("struct zone", "vm_numa_stat"):
            count = _count(target, "struct zone", "vm_numa_stat")
            return self._longs(target.address("vm_numa_stat"), count)
        return []

    def _own_numa(self, count: int) -> Iterator[list[int]]:
        """What each CPU has of its own, of every zone with memory."""
        at = self._target.offset(ZONE_STAT, "vm_numa_event")
        for zone in self._zones.populated:
            base = int(zone["per_cpu_zonestats"])
            for cpu in self._cpus.online:
                yield self._longs(self._cpus.address(base, cpu) + at, count)

    def _events(self) -> list[int]:
        target = self._target
        base, count = target.address("vm_event_states"), _count(target, EVENT_STATE, "event")
        own = [self._longs(self._cpus.address(base, cpu), count) for cpu in self._cpus.online]
        return [total & target.abi.address_mask for total in _columns(own)]

    def _names(self, before: int) -> list[str]:
        """All names; ``before`` of them come before the limits."""
        target = self._target
        table, width = target.address("vmstat_text"), target.abi.pointer_size
        most = before + MOST_LIMITS
        names: list[str] = []
        while FIRST_EVENT not in names[before:]:
            if len(names) >= most:
                raise FormatError(f"vmstat_text: no {FIRST_EVENT} among {most} names")
            names.append(self._name(table + width * len(names)))
        end = len(names) - 1 + _count(target, EVENT_STATE, "event")
        return names + [self._name(table + width * at) for at in range(len(names), end)]

    def _name(self, pointer: int) -> str:
        return self._target.string(self._target.pointer(pointer), LONGEST_NAME)

    def _longs(self, address: int, count: int) -> list[int]:
        target = self._target
        shape = struct.Struct(f"{target.abi.order}{count}{target.abi.pointer.lower()}")
        return list(shape.unpack(target.read(address, shape.size)))


def _columns(rows: Sequence[Sequence[int]]) -> list[int]:
    return [sum(column) for column in zip(*rows, strict=True)]


def _count(target: Target, struct_: str, name: str) -> int:
    """Elements of an array that is a member; TypeMissing, FormatError."""
    place = member(composite(target.types, struct_), name)
    found = resolve(place.type) if place else None
    if not isinstance(found, Array):
        raise TypeMissing(f"{struct_} has no array {name} in this kernel")
    if not 0 < found.count <= MOST:
        raise FormatError(f"{struct_}: {name} has {found.count} elements; damaged types")
    return found.count
