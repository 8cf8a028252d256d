"""Where is physical memory, in the kernel's own words?"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from kvm_exporter.collectors import Collect, Collector
from kvm_exporter.kvm import Kvm
from kvm_exporter.metric import Family, Metric
from kvm_exporter.typed_yaml.option import Help

SIZE = Metric(
    "kvm_memory_size_bytes", "gauge", "Physical memory the kernel manages, by kvm(3).", (), "bytes"
)
AVAILABLE = Metric(
    "kvm_memory_available_bytes",
    "gauge",
    "Memory that can be had without swapping, as the kernel estimates it, by kvm(3).",
    unit="bytes",
)
QUEUE = Metric(
    "kvm_memory_queue_bytes",
    "gauge",
    "Memory on one of the kernel's page queues, by kvm(3).",
    ("queue",),
    "bytes",
)
FIELD = Metric(
    "kvm_memory_field_bytes",
    "gauge",
    "A memory figure under the kernel's own name (/proc/meminfo), by kvm(3).",
    ("field",),
    "bytes",
)
EVENTS = Metric(
    "kvm_memory_events_total",
    "counter",
    "Memory events since boot under the kernel's own name (vm.stats.vm, /proc/vmstat), by kvm(3).",
    ("event",),
)
LEVEL = Metric(
    "kvm_memory_level",
    "gauge",
    "A memory level or threshold under the kernel's own name and in its unit, by kvm(3).",
    ("level",),
)


@dataclass(frozen=True, slots=True)
class Options:
    """Which figures to give; regular expressions that match the whole name."""

    events: Annotated[
        re.Pattern[str], Help("Names of the event counters to give: vm.stats.vm, /proc/vmstat.")
    ] = re.compile(".*")
    levels: Annotated[re.Pattern[str], Help("Names of the levels and thresholds to give.")] = (
        re.compile("")
    )


def start(options: Options) -> Collect:
    """A function that collects what ``options`` ask for."""

    def collect(kvm: Kvm) -> Iterable[Family]:
        memory = kvm.memory()
        events, levels = memory.counters.items(), memory.levels.items()
        event_wanted, level_wanted = options.events.fullmatch, options.levels.fullmatch
        return (
            SIZE.single(memory.size_bytes),
            AVAILABLE.single(memory.available_bytes),
            QUEUE.family(((queue,), size) for queue, size in memory.queues.items()),
            FIELD.family(((field,), size) for field, size in memory.fields.items()),
            EVENTS.family(((event,), count) for event, count in events if event_wanted(event)),
            LEVEL.family(((level,), value) for level, value in levels if level_wanted(level)),
        )

    return collect


COLLECTOR = Collector(
    start=start,
    options=Options,
    metrics=(SIZE, AVAILABLE, QUEUE, FIELD, EVENTS, LEVEL),
    help="physical memory by page queue, and memory events",
)
