"""Which objects does a kernel keep?  ``inspect swap``, ``cpus``, ``mounts`` and their kin.

A listing is a table whose columns are attributes of the objects, by their own names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from kvm_exporter.inspection.report import Column, Report, Row, Table
from kvm_exporter.kvm import Kvm


@dataclass(frozen=True, slots=True)
class Listing:
    """Every object that ``find`` gives, a row each."""

    find: Callable[[Kvm], Iterable[object]]
    columns: Sequence[Column]

    def __call__(self, kvm: Kvm) -> Report:
        return Table(self.columns, (self._row(one) for one in self.find(kvm)))

    def _row(self, one: object) -> Row:
        return [getattr(one, column.name) for column in self.columns]


SWAP = (
    Column("name", 20),
    Column("size_bytes", 14, "number"),
    Column("used_bytes", 14, "number"),
    Column("usable_bytes", 14, "number"),
    Column("priority", 8, "number"),
)
SUMMED = attrgetter("size_bytes", "used_bytes", "usable_bytes")
JAILS = Listing(
    Kvm.jails,
    (
        Column("jid", 5, "number"),
        Column("parent", 6, "number"),
        Column("processes", 9, "number"),
        Column("vnet", 4),
        Column("name", 16),
        Column("hostname", 24),
        Column("path"),
    ),
)
MOUNTS = Listing(
    Kvm.mounts,
    (
        Column("device", 20),
        Column("kind", 8),
        Column("flags", 18, "address"),
        Column("size_bytes", 15, "number"),
        Column("free_bytes", 15, "number"),
        Column("available_bytes", 15, "number"),
        Column("files", 10, "number"),
        Column("free_files", 10, "number"),
        Column("path"),
    ),
)
INTERFACES = Listing(
    Kvm.interfaces,
    (
        Column("name", 12),
        Column("jail", 4, "number"),
        Column("flags", 10, "address"),
        Column("mtu", 5, "number"),
        *(
            Column(f"{way}_{what}", width, "number")
            for way in ("rx", "tx")
            for what, width in (("bytes", 14), ("packets", 12), ("errors", 9), ("dropped", 10))
        ),
        Column("collisions", 10, "number"),
    ),
)
CPUS = Listing(
    Kvm.cpu_times_per_cpu,
    (
        Column("cpu", 4, "number"),
        *(
            Column(mode, 12, "number")
            for mode in ("user", "nice", "system", "interrupt", "idle", "iowait", "irq", "softirq")
        ),
        Column("steal", 9, "number"),
    ),
)
MEMORY = (Column("kind", 8), Column("value", 20, "number"), Column("name"))
KINDS = {"queue": "queues", "field": "fields", "counter": "counters", "level": "levels"}
"""What a row of ``memory`` is of → which attribute of model.Memory has them."""

FILES = (
    Column("pid", 6, "number"),
    Column("fd", 5, "number"),
    Column("kind", 8),
    Column("flags", 10, "address"),
    Column("offset", 12, "number"),
    Column("references", 10, "number"),
    Column("address", 18, "address"),
    Column("path"),
)


def swap(kvm: Kvm) -> Report:
    """A row a swap device, and a total, as kvm_getswapinfo(3)."""
    devices = kvm.swap_devices()
    rows = [[getattr(one, column.name) for column in SWAP] for one in devices]
    totals = [sum(each) for each in zip((0, 0, 0), *map(SUMMED, devices), strict=True)]
    return Table(SWAP, [*rows, ["total", *totals, None]])


def memory(kvm: Kvm) -> Report:
    """A row a figure: queues and fields in bytes, counters, and levels in the kernel's own unit."""
    found = kvm.memory()
    sizes = (("size", found.size_bytes), ("available", found.available_bytes))
    rows: list[Row] = [("field", value, name) for name, value in sizes]
    for kind, attribute in KINDS.items():
        rows += [(kind, value, name) for name, value in getattr(found, attribute).items()]
    return Table(MEMORY, rows)


def files(kvm: Kvm, pid: int | None) -> Report:
    """A row an open descriptor, of one process or of all."""
    return Listing(lambda kvm: kvm.open_files(pid), FILES)(kvm)
