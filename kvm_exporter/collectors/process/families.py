"""How are groups told to Prometheus?  The metric table, and families out of a ledger.

Every family of process-exporter has its counterpart here, so that its users miss none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from kvm_exporter.collectors.process.group import COUNTERS, Group
from kvm_exporter.collectors.process.ledger import Ledger
from kvm_exporter.metric import Family, Kind, Metric, Sample

LIFE = "counted from each process's birth and kept after its end"


def _metric(name: str, kind: Kind, text: str, label: str = "", unit: str = "") -> Metric:
    labels = ("group", label) if label else ("group",)
    return Metric(f"kvm_process_group_{name}", kind, f"{text}, by kvm(3).", labels, unit)


COUNTER_ROWS: tuple[tuple[Metric, Mapping[str, str]], ...] = (
    # metric, and the field of Process behind each value of its second label
    (
        _metric("cpu_seconds_total", "counter", f"CPU time of a group, {LIFE}", "mode", "seconds"),
        {"user": "user_seconds", "system": "system_seconds"},
    ),
    (
        _metric(
            "context_switches_total", "counter", f"Context switches of a group, {LIFE}", "type"
        ),
        {"voluntary": "voluntary_switches", "involuntary": "involuntary_switches"},
    ),
    (
        _metric("page_faults_total", "counter", f"Page faults of a group, {LIFE}", "type"),
        {"minor": "minor_faults", "major": "major_faults"},
    ),
    (
        _metric(
            "io_operations_total",
            "counter",
            f"Blocks read and written by a group (FreeBSD), {LIFE}",
            "direction",
        ),
        {"read": "read_operations", "write": "write_operations"},
    ),
    (
        _metric(
            "io_bytes_total",
            "counter",
            f"Bytes that a group read from and wrote to storage (Linux), {LIFE}",
            "direction",
            "bytes",
        ),
        {"read": "read_bytes", "write": "write_bytes"},
    ),
)

GAUGE_ROWS: tuple[tuple[Metric, Callable[[Group], float | None]], ...] = (
    (
        _metric(
            "resident_memory_bytes",
            "gauge",
            "Resident memory of a group, pages shared by members counted for each",
            unit="bytes",
        ),
        lambda group: group.sums["resident_bytes"],
    ),
    (
        _metric("virtual_memory_bytes", "gauge", "Address space of a group", unit="bytes"),
        lambda group: group.sums["virtual_bytes"],
    ),
    (
        _metric("swap_bytes", "gauge", "Swapped-out memory of a group (Linux)", unit="bytes"),
        lambda group: group.sums["swap_bytes"],
    ),
    (
        _metric("threads", "gauge", "Threads of a group"),
        lambda group: group.sums["threads"],
    ),
    (
        _metric(
            "open_fds", "gauge", "Open descriptors of a group's processes that may be looked at"
        ),
        lambda group: group.sums["open_files"],
    ),
    (
        _metric(
            "worst_fd_ratio",
            "gauge",
            "Open descriptors over their limit, of the member nearest to it",
            unit="ratio",
        ),
        lambda group: group.worst_fd_ratio,
    ),
    (
        _metric(
            "oldest_start_time_seconds",
            "gauge",
            "Unix time at which a group's oldest process started",
            unit="seconds",
        ),
        lambda group: group.oldest_start,
    ),
)

COUNT_ROWS: tuple[tuple[Metric, Callable[[Group], Mapping[str, int]]], ...] = (
    (
        _metric("processes", "gauge", "Processes of a group by state", "state"),
        lambda group: group.states,
    ),
    (
        _metric("threads_by_state", "gauge", "Threads of a group by state", "state"),
        lambda group: group.thread_states,
    ),
    (
        _metric(
            "wait_channels",
            "gauge",
            "Processes (with threads: true, threads) of a group by what they wait for",
            "wchan",
        ),
        lambda group: group.wait_channels,
    ),
)

PROCESSES = Metric(
    "kvm_processes",
    "gauge",
    "Processes that can be seen, grouped or not, by state, by kvm(3).",
    ("state",),
)
THREADS = Metric("kvm_threads", "gauge", "Threads of all processes that can be seen, by kvm(3).")
METRICS = (
    PROCESSES,
    THREADS,
    *(metric for metric, _ in (*COUNTER_ROWS, *GAUGE_ROWS, *COUNT_ROWS)),
)


class Families:
    """The families of a ledger whose keys are values of ``labels``, the first being ``group``."""

    def __init__(self, labels: tuple[str, ...]) -> None:
        self._counters = [
            (
                _labelled(metric, labels),
                [(name, COUNTERS.index(field)) for name, field in by.items()],
            )
            for metric, by in COUNTER_ROWS
        ]
        self._gauges = [(_labelled(metric, labels), figure) for metric, figure in GAUGE_ROWS]
        self._counts = [(_labelled(metric, labels), counts) for metric, counts in COUNT_ROWS]

    def of(self, ledger: Ledger) -> Iterator[Family]:
        """Every family that has a sample."""
        yield PROCESSES.family(((state,), count) for state, count in ledger.states.items())
        yield THREADS.single(ledger.threads)
        groups = tuple(ledger.groups.values())
        for metric, samples in self._samples(groups):
            if family := tuple(samples):
                yield metric.family(family)

    def _samples(self, groups: Iterable[Group]) -> Iterator[tuple[Metric, Iterable[Sample]]]:
        for metric, columns in self._counters:
            yield metric, _totals(groups, columns)
        for metric, figure in self._gauges:
            yield metric, _figures(groups, figure)
        for metric, counts in self._counts:
            yield metric, _counts(groups, counts)


def _labelled(metric: Metric, labels: tuple[str, ...]) -> Metric:
    return replace(metric, labels=(*labels, *metric.labels[1:]))


def _totals(groups: Iterable[Group], columns: Iterable[tuple[str, int]]) -> Iterator[Sample]:
    for group in groups:
        for name, column in columns:
            if (value := group.totals[column]) is not None:
                yield (*group.key, name), value


def _figures(groups: Iterable[Group], figure: Callable[[Group], float | None]) -> Iterator[Sample]:
    return ((group.key, value) for group in groups if (value := figure(group)) is not None)


def _counts(
    groups: Iterable[Group], counts: Callable[[Group], Mapping[str, int]]
) -> Iterator[Sample]:
    for group in groups:
        for name, count in counts(group).items():
            yield (*group.key, name), count
