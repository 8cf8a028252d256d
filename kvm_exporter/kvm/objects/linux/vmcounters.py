"""What would /proc/vmstat say of a dead Linux?  Its numbers, out of memory.

1. How many counters there are of each kind, arrays of the structs tell (vmstat_start() in
   mm/vmstat.c).
2. Pages are what the CPUs have handed in (vm_zone_stat, vm_node_stat), never below zero; what a CPU
   has of its own yet, up to its threshold, /proc leaves out, too.
3. NUMA events: since 5.14 (f19298b9516c) what each zone's CPUs have of their own is added to
   vm_numa_event; before, vm_numa_stat alone.
4. Events are each CPU's, added up; pgpgin and pgpgout are sectors, told as KiB.  A CPU that went
   offline has left none of its own; one that panic() stopped has, though it is offline.
5. Huge pages are told as such, but since 5.12 (69473e5de873) counted in pages.  That is to be seen
   by nr_swapcached, which came with 5.12, too.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from kvm_exporter.kvm.errors import FormatError, TypeMissing
from kvm_exporter.kvm.objects.linux import variables
from kvm_exporter.kvm.objects.linux.percpu import PerCpu
from kvm_exporter.kvm.objects.linux.vmnames import Counts, read_names
from kvm_exporter.kvm.objects.linux.zones import Zones
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types.flatten import composite, member
from kvm_exporter.kvm.types.model import Array, resolve

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
MOST = 1 << 10
"""Items of a kind at most; there are about 100 events."""

ZONE_STAT, NODE = "struct per_cpu_zonestat", "struct pglist_data"
EVENT_STATE = "struct vm_event_state"

NUMA_ARRAYS = {ZONE_STAT: "vm_numa_event", "struct zone": "vm_numa_stat"}
"""Struct → its array of NUMA events (rule 3); a kernel without CONFIG_NUMA has neither."""


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
        """Pages, NUMA events and events by name, without the limits; no page is a huge one.

        What of these four cannot be had is absent, and counted.
        """
        counts = self._counts()
        names = read_names(self._target, counts)
        numa, node = counts.zone, counts.zone + counts.numa
        groups: list[tuple[str, list[str], Callable[[], list[int]]]] = [
            ("vm_zone_stat", names.pages[:numa], partial(self._pages, "vm_zone_stat", counts.zone)),
            ("vm_numa_event", names.pages[numa:node], partial(self._numa, counts.numa)),
            ("vm_node_stat", names.pages[node:], partial(self._pages, "vm_node_stat", counts.node)),
            ("vm_event_states", names.events, partial(self._events, counts.events)),
        ]
        found: dict[str, int] = {}
        for what, some, read in groups:
            values = variables.known(self._target, what, read)
            found |= zip(some, values or (), strict=values is not None)
        found.pop("", None)  # nr_indirectly_reclaimable of 4.17 to 4.19 has no name
        return {name: n // 2 if name in IN_SECTORS else n for name, n in found.items()}

    def _counts(self) -> Counts:
        """How many of each kind this kernel has (rule 1)."""
        target = self._target
        numa = 0
        for struct_, array in NUMA_ARRAYS.items():
            numa = numa or (_count(target, struct_, array) if target.has(struct_, array) else 0)
        zone, node = (_count(target, name, "vm_stat") for name in ("struct zone", NODE))
        return Counts(zone, numa, node, _count(target, EVENT_STATE, "event"))

    def _pages(self, name: str, count: int) -> list[int]:
        return [max(value, 0) for value in self._longs(self._target.address(name), count)]

    def _numa(self, count: int) -> list[int]:
        target = self._target
        if not count:
            return []
        if not target.has(ZONE_STAT, NUMA_ARRAYS[ZONE_STAT]):
            return self._longs(target.address("vm_numa_stat"), count)
        handed_in = self._longs(target.address("vm_numa_event"), count)
        return _columns([handed_in, *self._own_numa(count)])

    def _own_numa(self, count: int) -> Iterator[list[int]]:
        """What each CPU has of its own, of every zone with memory."""
        at = self._target.offset(ZONE_STAT, NUMA_ARRAYS[ZONE_STAT])
        for zone in self._zones.populated:
            base = int(zone["per_cpu_zonestats"])
            for cpu in self._cpus.possible:
                yield self._longs(self._cpus.address(base, cpu) + at, count)

    def _events(self, count: int) -> list[int]:
        target = self._target
        base = target.address("vm_event_states")
        own = [self._longs(self._cpus.address(base, cpu), count) for cpu in self._cpus.possible]
        return [total & target.abi.address_mask for total in _columns(own)]

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
