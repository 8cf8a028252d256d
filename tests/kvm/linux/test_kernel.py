"""Are the kernel's counters and table sizes read, each from its own source?"""

from __future__ import annotations

import errno
import os
from dataclasses import fields
from typing import Any

from kvm_exporter.kvm.objects.model import KernelCounters

STAT = """\
cpu  1 2 3 4
intr 226168 0 0 7
ctxt 464753
btime 1795412316
processes 7451
procs_running 2
procs_blocked 1
softirq 129438 0 18089
"""
TABLES = {
    "sys/fs/file-nr": "557\t0\t9223372036854775807\n",
    "sys/fs/file-max": "9223372036854775807\n",
    "sys/fs/inode-nr": "65305\t12\n",
    "sys/kernel/pid_max": "32768\n",
    "sys/kernel/threads-max": "192730\n",
}
ALL = KernelCounters(
    context_switches=464753,
    interrupts=226168,
    soft_interrupts=129438,
    forks=7451,
    boot_time_seconds=1795412316.0,
    processes_running=2,
    processes_blocked=1,
    open_files=557,
    max_files=9223372036854775807,
    vnodes=65305,
    max_processes=32768,
    max_threads=192730,
)


def fill(forged: Any) -> None:
    """A whole kernel."""
    forged.tree.put("stat", STAT)
    for name, text in TABLES.items():
        forged.tree.put(name, text)


def test_every_number_has_its_place(forged: Any) -> None:
    """All that Linux counts; what it does not count is unknown."""
    fill(forged)
    assert forged.system.kernel() == ALL
    assert forged.tally.counts() == {}


def test_a_missing_source_costs_its_own_fields(forged: Any) -> None:
    """Each file in turn is refused: only what it tells is lost, and it is counted."""
    fill(forged)
    for name in ("stat", *TABLES):
        forged.procfs.refused = {name: errno.EACCES}
        counters = forged.system.kernel()
        lost = [f.name for f in fields(ALL) if getattr(counters, f.name) != getattr(ALL, f.name)]
        assert len(lost) == (7 if name == "stat" else 1)
        assert all(getattr(counters, field) is None for field in lost)
        assert forged.tally.counts()[forged.procfs.path(name), "EACCES"] == 1


def test_a_missing_line_costs_its_own_field(forged: Any) -> None:
    """A kernel that does not tell softirq tells the rest."""
    fill(forged)
    forged.tree.put("stat", STAT.replace("softirq 129438", "other 1"))
    counters = forged.system.kernel()
    assert (counters.soft_interrupts, counters.forks) == (None, 7451)
    assert forged.tally.counts() == {(forged.procfs.path("stat") + " softirq", "ENODATA"): 1}


def test_boot_time_stays_the_same_for_a_handle(forged: Any) -> None:
    """The wall clock may be set: a process's start must not move with it."""
    forged.tree.process(5, stat={22: 250})
    first = forged.processes("start_seconds")
    forged.tree.put("stat", "btime 2000000\n")
    assert forged.processes("start_seconds") == first
    assert first[0].start_seconds == 1000002.5
    assert forged.system.kernel().boot_time_seconds == 2000000.0


def test_an_unknown_boot_time_makes_starts_unknown(forged: Any) -> None:
    """Without btime a start is unknown, and is known as soon as btime can be read."""
    forged.tree.process(5, stat={22: 250})
    forged.tree.put("stat", "ctxt 1\n")
    assert forged.processes("start_seconds", "ppid")[0][:4] == (5, None, None, 1)
    forged.tree.put("stat", "btime 1000000\n")
    assert forged.processes("start_seconds")[0].start_seconds == 1000002.5


def test_uname_is_the_kernels(forged: Any) -> None:
    """The name comes from uname(2)."""
    name, own = forged.system.uname(), os.uname()
    assert (name.sysname, name.nodename, name.release) == (own.sysname, own.nodename, own.release)
    assert (name.version, name.machine) == (own.version, own.machine)
