"""What has the kernel as a whole done since boot, and how full are its tables?

Of a crash dump also what it is and when its kernel died: a scrape must not be taken for that of a
machine that runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, fields

from kvm_exporter.collectors import Collector, NoOptions
from kvm_exporter.kvm import Kvm, KvmError
from kvm_exporter.kvm.objects.model import Uname
from kvm_exporter.metric import Family, Kind, Metric, Sample

ROWS: tuple[tuple[str, str, Kind, str], ...] = (
    # KernelCounters field, metric name after kvm_, kind, help
    ("context_switches", "context_switches_total", "counter", "Context switches since boot"),
    ("interrupts", "interrupts_total", "counter", "Device interrupts since boot"),
    ("soft_interrupts", "soft_interrupts_total", "counter", "Software interrupts since boot"),
    ("traps", "traps_total", "counter", "Traps (faults and the like) since boot"),
    ("system_calls", "system_calls_total", "counter", "System calls since boot"),
    ("forks", "forks_total", "counter", "Processes and threads forked since boot"),
    ("boot_time_seconds", "boot_time_seconds", "gauge", "Unix time of the boot"),
    ("processes_running", "runnable_threads", "gauge", "Threads running or ready to run"),
    ("processes_blocked", "blocked_threads", "gauge", "Threads waiting for a disk or a page"),
    ("open_files", "open_files", "gauge", "Open files of the whole system"),
    ("max_files", "max_files", "gauge", "Limit of open files"),
    ("vnodes", "vnodes", "gauge", "Vnodes (Linux: inodes) that are allocated"),
    ("max_vnodes", "max_vnodes", "gauge", "Limit of vnodes"),
    ("max_processes", "max_processes", "gauge", "Limit of processes (Linux: of process ids)"),
    ("max_threads", "max_threads", "gauge", "Limit of threads"),
)
METRICS = tuple(
    (
        field,
        Metric(
            f"kvm_{name}",
            kind,
            f"{text}, by kvm(3).",
            unit="seconds" if name.endswith("_seconds") else "",
        ),
    )
    for field, name, kind, text in ROWS
)
UNAME = Metric(
    "kvm_uname_info",
    "info",
    "Name and version of the kernel, by kvm(3).",
    tuple(field.name for field in fields(Uname)),
)
DUMP = Metric(
    "kvm_dump_info",
    "info",
    "The crash dump that all numbers are of, by kvm(3); a running kernel has none.",
    ("format", "panic"),
)
DEATH = Metric(
    "kvm_dump_death_timestamp_seconds",
    "gauge",
    "Unix time at which the kernel in the dump died, or was dumped alive, by kvm(3).",
    unit="seconds",
)
UPTIME = Metric(
    "kvm_dump_uptime_seconds",
    "gauge",
    "How long the kernel in the dump had run by then, by kvm(3).",
    unit="seconds",
)


def collect(kvm: Kvm) -> Iterable[Family]:
    """Each row whose number this kernel has, the kernel's name, and its death."""
    counters = kvm.kernel()
    yield from (metric.single(getattr(counters, field)) for field, metric in METRICS)
    yield UNAME.family(_uname(kvm))
    if kvm.dump is not None:
        yield from _death(kvm, kvm.dump.format)


def _death(kvm: Kvm, form: str) -> Iterable[Family]:
    """The dump, and when its kernel died, where that is known; no panic is an empty label."""
    life = kvm.life()
    yield DUMP.family([((form, life.panic or ""), 1)])
    yield DEATH.single(life.death_time_seconds)
    yield UPTIME.single(life.uptime_seconds)


def _uname(kvm: Kvm) -> Iterable[Sample]:
    try:
        return ((astuple(kvm.uname()), 1),)
    except KvmError:  # counted in the handle's tally
        return ()


COLLECTOR = Collector(
    start=lambda _options: collect,
    options=NoOptions,
    metrics=(*(metric for _, metric in METRICS), UNAME, DUMP, DEATH, UPTIME),
    help="kernel-wide counters, table sizes and version",
)
