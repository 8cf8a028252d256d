"""What has virtual memory done so far?  /proc/vmstat (proc_vmstat(5)): ``name value`` lines."""

from __future__ import annotations

from kvm_exporter.kvm.objects.linux import reading

SOURCE = "vmstat"

LEVELS = frozenset({"workingset_nodes"})
"""Levels among the names without ``nr_``."""

EVENTS = frozenset(
    {
        "nr_dirtied",
        "nr_written",
        "nr_vmscan_write",
        "nr_vmscan_immediate_reclaim",
        "nr_throttled_written",
        "nr_foll_pin_acquired",
        "nr_foll_pin_released",
    }
)
"""Events among the names with ``nr_`` (include/linux/mmzone.h, enum node_stat_item)."""


def parse(data: bytes) -> dict[str, int]:
    """Name → value; a line that is neither is left out."""
    values = {}
    for line in data.split(b"\n"):
        name, _, text = line.partition(b" ")
        value = reading.number(text)
        if value is not None and name.isascii():
            values[name.decode("ascii")] = value
    return values


def is_level(name: str) -> bool:
    """Can the value fall?  Names with ``nr_`` are pages of a kind, all others count events."""
    return name in LEVELS or (name.startswith("nr_") and name not in EVENTS)
