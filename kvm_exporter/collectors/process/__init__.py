"""What do processes use, in groups and over their lifetimes?"""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic

from kvm_exporter.collectors import Collect, Collector
from kvm_exporter.collectors.process.families import METRICS, Families
from kvm_exporter.collectors.process.group import COUNTERS, GAUGES
from kvm_exporter.collectors.process.ledger import Ledger
from kvm_exporter.collectors.process.options import ProcessOptions
from kvm_exporter.collectors.process.rules import Rules
from kvm_exporter.kvm import Kvm
from kvm_exporter.metric import Family

IDENTITY = ("pid", "start_seconds")
THREAD_FIELDS = ("pid", "tid", "state", "wait_channel")


def start(options: ProcessOptions) -> Collect:
    """A collection function with its own ledger; it is not for two threads at once."""
    rules = Rules(options)
    ledger = Ledger(options, rules.fields, rules.other)
    families = Families(rules.labels)
    fields = frozenset((*IDENTITY, *COUNTERS, *GAUGES, *rules.fields))
    fields |= {"flags"} if rules.needs_flags else set()
    fields -= {"wait_channel"} if options.threads or not options.wait_channels else set()

    def collect(kvm: Kvm) -> Iterable[Family]:
        processes = kvm.processes(fields)
        ledger.update(processes, lambda process: rules.key(process, kvm), monotonic())
        if options.threads:
            ledger.count_threads(kvm.processes(THREAD_FIELDS, threads=True))
        return families.of(ledger)

    return collect


COLLECTOR = Collector(
    start=start,
    options=ProcessOptions,
    metrics=METRICS,
    help="processes by group and state, with counters that outlive them",
)
