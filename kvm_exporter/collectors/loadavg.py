"""How busy is the machine?  Load averages."""

from __future__ import annotations

from collections.abc import Iterable

from kvm_exporter.collectors import Collector, NoOptions
from kvm_exporter.kvm import Kvm
from kvm_exporter.metric import Family, Metric

LOAD1 = Metric("kvm_load1", "gauge", "Load average over 1 minute, by kvm(3).")
LOAD5 = Metric("kvm_load5", "gauge", "Load average over 5 minutes, by kvm(3).")
LOAD15 = Metric("kvm_load15", "gauge", "Load average over 15 minutes, by kvm(3).")


def collect(kvm: Kvm) -> Iterable[Family]:
    """The three averages; errors are the kernel's own KvmError."""
    load = kvm.load_average()
    return LOAD1.single(load.one), LOAD5.single(load.five), LOAD15.single(load.fifteen)


COLLECTOR = Collector(
    start=lambda _options: collect,
    options=NoOptions,
    metrics=(LOAD1, LOAD5, LOAD15),
    help="load averages",
)
