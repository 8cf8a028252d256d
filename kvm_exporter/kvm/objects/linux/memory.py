"""Where is physical memory?  /proc/meminfo (proc_meminfo(5)) and the events of /proc/vmstat.

The queues are the page lists that the kernel itself keeps: free pages and the five LRU lists
(enum lru_list in include/linux/mmzone.h).  They do not overlap; Buffers, Cached, Mapped and their
like are views across them, and memory that is on no list (slab, page tables, stacks) is in
neither.  All of these are in ``fields``.
"""

from __future__ import annotations

from collections.abc import Mapping

from kvm_exporter.kvm.live.procfs import Procfs
from kvm_exporter.kvm.objects.linux import reading, vmstat
from kvm_exporter.kvm.objects.model import Memory
from kvm_exporter.kvm.tally import Tally

SOURCE = "meminfo"

_QUEUES = {
    "free": "MemFree",
    "active_anon": "Active(anon)",
    "inactive_anon": "Inactive(anon)",
    "active_file": "Active(file)",
    "inactive_file": "Inactive(file)",
    "unevictable": "Unevictable",
}


def from_live(procfs: Procfs, tally: Tally) -> Memory:
    """Bytes by queue and by the kernel's names; vmstat's events, and its levels in pages.

    ``HugePages_*`` have no unit in meminfo: they are levels too, in huge pages.  A missing file
    costs only what it tells.  ``available_bytes`` needs Linux 3.14.
    """
    fields, huge = parse(reading.optional(procfs, tally, SOURCE))
    values = vmstat.parse(reading.optional(procfs, tally, vmstat.SOURCE))
    return joined(fields, huge, values)


def joined(fields: dict[str, int], huge: Mapping[str, int], values: Mapping[str, int]) -> Memory:
    """Meminfo's bytes, its numbers of huge pages, and vmstat's numbers."""
    return Memory(
        size_bytes=fields.get("MemTotal"),
        available_bytes=fields.get("MemAvailable"),
        queues={queue: fields[name] for queue, name in _QUEUES.items() if name in fields},
        fields=fields,
        counters={name: value for name, value in values.items() if not vmstat.is_level(name)},
        levels={**huge, **{name: n for name, n in values.items() if vmstat.is_level(name)}},
    )


def parse(data: bytes) -> tuple[dict[str, int], dict[str, int]]:
    """Lines in ``kB`` (which is KiB) as bytes, and lines without a unit as they are."""
    fields, counts = {}, {}
    for line in data.split(b"\n"):
        name, _, text = line.partition(b":")
        amount, _, unit = text.strip().partition(b" ")
        value = reading.number(amount)
        if value is None or not name.isascii():
            continue
        if unit == b"kB":
            fields[name.decode("ascii")] = value * 1024
        elif not unit:
            counts[name.decode("ascii")] = value
    return fields, counts
