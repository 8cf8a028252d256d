"""What did each CPU spend its time on?"""

from __future__ import annotations

from collections.abc import Iterable

from kvm_exporter.collectors import Collector, NoOptions
from kvm_exporter.kvm import Kvm
from kvm_exporter.metric import Family, Metric

MODES = ("user", "nice", "system", "interrupt", "idle", "iowait", "irq", "softirq", "steal")
GUEST_MODES = (("user", "guest"), ("nice", "guest_nice"))

SECONDS = Metric(
    "kvm_cpu_seconds_total",
    "counter",
    "Seconds a CPU spent in a mode since boot, by kvm(3).",
    ("cpu", "mode"),
    "seconds",
)
GUEST = Metric(
    "kvm_cpu_guest_seconds_total",
    "counter",
    "Seconds a CPU ran virtual machines since boot, also counted in user and nice, by kvm(3).",
    ("cpu", "mode"),
    "seconds",
)


def collect(kvm: Kvm) -> Iterable[Family]:
    """A sample for each CPU and mode that this kernel has."""
    cpus = [(str(times.cpu), times) for times in kvm.cpu_times_per_cpu()]
    return (
        SECONDS.family(
            ((cpu, mode), seconds)
            for cpu, times in cpus
            for mode in MODES
            if (seconds := getattr(times, mode)) is not None
        ),
        GUEST.family(
            ((cpu, mode), seconds)
            for cpu, times in cpus
            for mode, field in GUEST_MODES
            if (seconds := getattr(times, field)) is not None
        ),
    )


COLLECTOR = Collector(
    start=lambda _options: collect,
    options=NoOptions,
    metrics=(SECONDS, GUEST),
    help="time of each CPU by mode",
)
