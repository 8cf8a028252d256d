"""Which OpenTelemetry instrument carries which of our metrics?

``CURRENT`` follows the semantic conventions 1.44 (opentelemetry.io/docs/specs/semconv/system/),
``HOSTMETRICS`` the names of the OpenTelemetry collector's hostmetrics receiver (its scrapers'
documentation.md).  Both conventions are under development there; neither names everything.

1. A metric without a row goes out under its own name (``own``), so nothing is lost.
2. No instrument counts a thing twice.  So the swap totals, which are sums over the devices, and
   the processes of a group, which system.process.count has counted already, keep their own names.
3. A label that a row does not mention becomes what ``LABELS`` says, else keeps its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from kvm_exporter.metric import Metric

Style = Literal["current", "hostmetrics"]
Kind = Literal["counter", "updowncounter", "gauge"]
Value = str | int


@dataclass(frozen=True, slots=True)
class Attribute:
    """What a label becomes: the attribute's key, and its value from the label's."""

    key: str
    value: Callable[[str], Value] = str


@dataclass(frozen=True, slots=True)
class Instrument:
    """One OpenTelemetry instrument; several metrics may give it points.

    ``constants`` are attributes of every point.  ``less`` names a metric with the same labels
    whose value is taken away (free = size less used); ``age`` makes a time of day its distance
    from the snapshot's, in seconds.
    """

    name: str
    unit: str
    kind: Kind
    labels: Mapping[str, Attribute] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    less: str | None = None
    age: bool = False


_UCUM = {"bytes": "By", "seconds": "s", "ratio": "1"}


def _number(text: str) -> Value:
    return int(text) if text.isdecimal() else text


def _spelled(**words: str) -> Callable[[str], Value]:
    """Our words where the convention has others; the rest pass unchanged."""
    return lambda text: words.get(text, text)


def own(metric: Metric) -> Instrument:
    """The instrument of a metric that no convention names.

    ``kvm_swap_in_bytes_total`` becomes ``kvm.swap_in`` in ``By``: a name carries neither unit nor
    ``_total`` in OpenTelemetry, and Prometheus, when it takes OTLP, puts both back.  Names of other
    families than ``kvm_`` are somebody else's convention and stay as they are.
    """
    kind: Kind = "counter" if metric.kind == "counter" else "gauge"
    unit = _UCUM.get(metric.unit, metric.unit)
    if not metric.name.startswith("kvm_"):
        return Instrument(metric.name, unit, kind)
    name = metric.name.removesuffix("_total") if kind == "counter" else metric.name
    if metric.unit:
        name = name.removesuffix(f"_{metric.unit}")
    return Instrument(name.replace("_", ".", 1), unit, kind)


LABELS: Mapping[Style, Mapping[str, Attribute]] = {
    "current": {
        "group": Attribute("kvm.process.group"),
        "user": Attribute("process.owner"),
        "pid": Attribute("process.pid", _number),
        "cgroup": Attribute("process.linux.cgroup"),
        "device": Attribute("system.device"),
        "cpu": Attribute("cpu.logical_number", _number),
    },
    "hostmetrics": {
        "user": Attribute("process.owner"),
        "pid": Attribute("process.pid", _number),
        "cgroup": Attribute("process.cgroup"),
        "cpu": Attribute("cpu", "cpu{}".format),
    },
}

_MODE = {"mode": Attribute("cpu.mode", _spelled(irq="interrupt"))}
_MEMORY = {"queue": Attribute("system.memory.state")}
_STATE = {"state": Attribute("process.state", _spelled(zombie="defunct"))}
_SWITCH = {"type": Attribute("process.context_switch.type")}
_FAULT = {"type": Attribute("system.paging.fault.type")}
_DISK = {"direction": Attribute("disk.io.direction")}

CURRENT: Mapping[str, Instrument] = {
    "kvm_load1": Instrument("system.cpu.load_average.1m", "{thread}", "gauge"),
    "kvm_load5": Instrument("system.cpu.load_average.5m", "{thread}", "gauge"),
    "kvm_load15": Instrument("system.cpu.load_average.15m", "{thread}", "gauge"),
    "kvm_swap_used_bytes": Instrument(
        "system.paging.usage", "By", "updowncounter", {}, {"system.paging.state": "used"}
    ),
    "kvm_swap_size_bytes": Instrument(
        "system.paging.usage",
        "By",
        "updowncounter",
        {},
        {"system.paging.state": "free"},
        less="kvm_swap_used_bytes",
    ),
    "kvm_swap_in_operations_total": Instrument(
        "system.paging.operations", "{operation}", "counter", {}, {"system.paging.direction": "in"}
    ),
    "kvm_swap_out_operations_total": Instrument(
        "system.paging.operations", "{operation}", "counter", {}, {"system.paging.direction": "out"}
    ),
    "kvm_cpu_seconds_total": Instrument("system.cpu.time", "s", "counter", _MODE),
    "kvm_memory_size_bytes": Instrument("system.memory.limit", "By", "updowncounter"),
    "kvm_memory_queue_bytes": Instrument("system.memory.usage", "By", "updowncounter", _MEMORY),
    "kvm_boot_time_seconds": Instrument("system.uptime", "s", "gauge", age=True),
    "kvm_processes": Instrument("system.process.count", "{process}", "updowncounter", _STATE),
    "kvm_forks_total": Instrument("system.process.created", "{process}", "counter"),
    "kvm_process_group_cpu_seconds_total": Instrument("process.cpu.time", "s", "counter", _MODE),
    "kvm_process_group_resident_memory_bytes": Instrument(
        "process.memory.usage", "By", "updowncounter"
    ),
    "kvm_process_group_virtual_memory_bytes": Instrument(
        "process.memory.virtual", "By", "updowncounter"
    ),
    "kvm_process_group_threads": Instrument("process.thread.count", "{thread}", "updowncounter"),
    "kvm_process_group_open_fds": Instrument(
        "process.unix.file_descriptor.count", "{file_descriptor}", "updowncounter"
    ),
    "kvm_process_group_context_switches_total": Instrument(
        "process.context_switches", "{context_switch}", "counter", _SWITCH
    ),
    "kvm_process_group_page_faults_total": Instrument(
        "process.paging.faults", "{fault}", "counter", _FAULT
    ),
    "kvm_process_group_io_operations_total": Instrument(
        "process.disk.operations", "{operation}", "counter", _DISK
    ),
    "kvm_process_group_io_bytes_total": Instrument("process.disk.io", "By", "counter", _DISK),
    "kvm_process_group_oldest_start_time_seconds": Instrument(
        "process.uptime", "s", "gauge", age=True
    ),
}

_CPU_STATE = {"mode": Attribute("state", _spelled(irq="interrupt", iowait="wait"))}
_QUEUE = {"queue": Attribute("state")}
_STATUS = {"state": Attribute("status", _spelled(zombie="zombies", waiting="blocked"))}

HOSTMETRICS: Mapping[str, Instrument] = {
    **{name: CURRENT[name] for name in ("kvm_load1", "kvm_load5", "kvm_load15")},
    "kvm_swap_used_bytes": Instrument(
        "system.paging.usage", "By", "updowncounter", {}, {"state": "used"}
    ),
    "kvm_swap_size_bytes": Instrument(
        "system.paging.usage",
        "By",
        "updowncounter",
        {},
        {"state": "free"},
        less="kvm_swap_used_bytes",
    ),
    "kvm_swap_in_operations_total": Instrument(
        "system.paging.operations",
        "{operations}",
        "counter",
        {},
        {"direction": "page_in", "type": "major"},
    ),
    "kvm_swap_out_operations_total": Instrument(
        "system.paging.operations",
        "{operations}",
        "counter",
        {},
        {"direction": "page_out", "type": "major"},
    ),
    "kvm_cpu_seconds_total": Instrument("system.cpu.time", "s", "counter", _CPU_STATE),
    "kvm_memory_queue_bytes": Instrument("system.memory.usage", "By", "updowncounter", _QUEUE),
    "kvm_boot_time_seconds": CURRENT["kvm_boot_time_seconds"],
    "kvm_processes": Instrument("system.processes.count", "{processes}", "updowncounter", _STATUS),
    "kvm_forks_total": Instrument("system.processes.created", "{processes}", "counter"),
    "kvm_process_group_cpu_seconds_total": Instrument(
        "process.cpu.time", "s", "counter", _CPU_STATE
    ),
    "kvm_process_group_resident_memory_bytes": Instrument(
        "process.memory.usage", "By", "updowncounter"
    ),
    "kvm_process_group_virtual_memory_bytes": Instrument(
        "process.memory.virtual", "By", "updowncounter"
    ),
    "kvm_process_group_threads": Instrument("process.threads", "{threads}", "updowncounter"),
    "kvm_process_group_open_fds": Instrument(
        "process.open_file_descriptors", "{count}", "updowncounter"
    ),
    "kvm_process_group_context_switches_total": Instrument(
        "process.context_switches", "{count}", "counter"
    ),
    "kvm_process_group_page_faults_total": Instrument(
        "process.paging.faults", "{faults}", "counter"
    ),
    "kvm_process_group_io_operations_total": Instrument(
        "process.disk.operations", "{operations}", "counter"
    ),
    "kvm_process_group_io_bytes_total": Instrument("process.disk.io", "By", "counter"),
    "kvm_process_group_oldest_start_time_seconds": CURRENT[
        "kvm_process_group_oldest_start_time_seconds"
    ],
}

INSTRUMENTS: Mapping[Style, Mapping[str, Instrument]] = {
    "current": CURRENT,
    "hostmetrics": HOSTMETRICS,
}

SINCE_EXPORTER = ("kvm_process_group_", "kvm_exporter_", "kvm_collector_", "process_")
"""Counters that start with the exporter (its groups lose their totals when it ends); the others
are the kernel's and start at boot."""
