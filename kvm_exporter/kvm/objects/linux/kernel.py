"""What has the kernel as a whole counted, and how full are its tables?

Every field is a row: the file, and which of its numbers (proc_stat(5), proc_sys_fs(5),
proc_sys_kernel(5)).  Linux counts neither traps nor system calls, and has no limit of inodes.
"""

from __future__ import annotations

import errno

from kvm_exporter.kvm.live.procfs import Procfs
from kvm_exporter.kvm.objects.linux import reading, stat
from kvm_exporter.kvm.objects.model import KernelCounters
from kvm_exporter.kvm.tally import Tally

_STAT = {
    "context_switches": b"ctxt",
    "interrupts": b"intr",
    "soft_interrupts": b"softirq",
    "forks": b"processes",
    "processes_running": b"procs_running",
    "processes_blocked": b"procs_blocked",
}

_TABLES = {
    "open_files": "sys/fs/file-nr",
    "max_files": "sys/fs/file-max",
    "vnodes": "sys/fs/inode-nr",
    "max_processes": "sys/kernel/pid_max",
    "max_threads": "sys/kernel/threads-max",
}
"""The first number of each: open, limit, allocated, limit, limit."""


def from_live(procfs: Procfs, tally: Tally) -> KernelCounters:
    """All of it; a missing file or line costs its own fields and is tallied."""
    rows = stat.parse(reading.optional(procfs, tally, stat.SOURCE))
    values = {field: _counter(procfs, tally, rows, word) for field, word in _STAT.items()}
    values |= {
        field: reading.first_number(reading.optional(procfs, tally, name))
        for field, name in _TABLES.items()
    }
    boot = _counter(procfs, tally, rows, b"btime")
    return KernelCounters(boot_time_seconds=None if boot is None else float(boot), **values)


def boot_time(procfs: Procfs, tally: Tally) -> float | None:
    """Unix time at which the system was booted, in whole seconds; None where unknown.

    The kernel works it out from the wall clock whenever asked, so it moves as the clock is set.
    """
    rows = stat.parse(reading.optional(procfs, tally, stat.SOURCE))
    seconds = _counter(procfs, tally, rows, b"btime")
    return None if seconds is None else float(seconds)


def _counter(procfs: Procfs, tally: Tally, rows: dict[bytes, bytes], word: bytes) -> int | None:
    value = reading.first_number(rows.get(word, b""))
    if value is None and rows:
        tally.add(f"{procfs.path(stat.SOURCE)} {word.decode()}", errno.ENODATA)
    return value
