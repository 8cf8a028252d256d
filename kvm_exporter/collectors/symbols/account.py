"""How do the modules of symbols fare?  Metrics of their own, by module."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from kvm_exporter.metric import Family, Metric

SUCCESS = Metric(
    "kvm_symbols_module_success",
    "gauge",
    "Whether the module's last collection by kvm(3) gave its families (1) or failed (0).",
    ("module",),
)
DURATION = Metric(
    "kvm_symbols_module_duration_seconds",
    "gauge",
    "How long the module's last collection by kvm(3) took.",
    ("module",),
    "seconds",
)
COMPILATIONS = Metric(
    "kvm_symbols_compilations_total",
    "counter",
    "How often the module was compiled for the kernel that kvm(3) reads: at the start, and when "
    "kernel modules or network stacks come or go.",
    ("module",),
)
READ = Metric(
    "kvm_symbols_read_bytes_total",
    "counter",
    "Bytes of kernel memory that the module has read by kvm(3).",
    ("module",),
    "bytes",
)
UNREAD = Metric(
    "kvm_symbols_unread_values_total",
    "counter",
    "Values that kvm(3) could not read, because no memory is there: their series are absent.",
    ("module",),
)
TORN = Metric(
    "kvm_symbols_torn_elements_total",
    "counter",
    "Elements of lists that changed or vanished while kvm(3) read them, and were left out.",
    ("module",),
)
EXCEEDED = Metric(
    "kvm_symbols_budget_exceeded_total",
    "counter",
    "Collections by kvm(3) that ended early at the module's budget.",
    ("module", "budget"),
)
MISSING = Metric(
    "kvm_symbols_missing",
    "gauge",
    "1 for each metric that kvm(3) cannot have of this kernel, and why.",
    ("module", "metric", "reason"),
)


@dataclass(slots=True)
class Account:
    """One module's history; ``error`` says what failed in the last collection, "" for nothing."""

    module: str
    error: str = ""
    seconds: float = 0.0
    compilations: int = 0
    read_bytes: int = 0
    unread: int = 0
    torn: int = 0
    exceeded: Counter[str] = field(
        default_factory=lambda: Counter({"bytes": 0, "elements": 0, "time": 0})
    )
    missing: Sequence[tuple[str, str]] = ()


BY_MODULE: tuple[tuple[Metric, Callable[[Account], float]], ...] = (
    (SUCCESS, lambda one: int(not one.error)),
    (DURATION, lambda one: one.seconds),
    (COMPILATIONS, lambda one: one.compilations),
    (READ, lambda one: one.read_bytes),
    (UNREAD, lambda one: one.unread),
    (TORN, lambda one: one.torn),
)

METRICS = (*(metric for metric, _ in BY_MODULE), EXCEEDED, MISSING)


def families(accounts: Sequence[Account]) -> Iterable[Family]:
    """The modules' own metrics."""
    for metric, value in BY_MODULE:
        yield metric.family(((one.module,), value(one)) for one in accounts)
    yield EXCEEDED.family(
        ((one.module, budget), count) for one in accounts for budget, count in one.exceeded.items()
    )
    yield MISSING.family(
        ((one.module, metric, reason), 1)
        for one in accounts
        for metric, reason in dict.fromkeys(one.missing)  # lists may be called the same
    )
