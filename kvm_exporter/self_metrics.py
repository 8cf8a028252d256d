"""How is the exporter itself?  The families of the snapshot's part ``exporter``."""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock

from kvm_exporter import __version__
from kvm_exporter.kvm import Kvm, KvmError, ProcOp
from kvm_exporter.kvm.objects.model import Process
from kvm_exporter.metric import Family, Metric, Sample


@dataclass(slots=True)
class State:
    """How one collector fared so far; ``failures`` counts by reason, ``late`` or ``error``.

    ``error`` says what failed in the last run, empty where nothing did.
    """

    name: str
    duration_seconds: float | None = None
    success: bool = False
    error: str = ""
    last_success_seconds: float | None = None
    dropped: int = 0
    failures: Counter[str] = field(default_factory=lambda: Counter({"late": 0, "error": 0}))


BY_COLLECTOR: tuple[tuple[Metric, Callable[[State], float | None]], ...] = (
    (
        Metric(
            "kvm_collector_duration_seconds",
            "gauge",
            "How long the collector's last run on kvm(3) took, up to its deadline.",
            ("collector",),
            "seconds",
        ),
        lambda state: state.duration_seconds,
    ),
    (
        Metric(
            "kvm_collector_success",
            "gauge",
            "Whether the collector's last run on kvm(3) gave its families (1) or failed (0).",
            ("collector",),
        ),
        lambda state: int(state.success),
    ),
    (
        Metric(
            "kvm_collector_last_success_timestamp_seconds",
            "gauge",
            "Unix time of the collector's last successful run on kvm(3).",
            ("collector",),
            "seconds",
        ),
        lambda state: state.last_success_seconds,
    ),
    (
        Metric(
            "kvm_exporter_series_dropped_total",
            "counter",
            "Series over the collector's budget (max_series) that the kvm(3) exporter left out.",
            ("collector",),
        ),
        lambda state: state.dropped,
    ),
)

FAILURES = Metric(
    "kvm_collector_failures_total",
    "counter",
    "Runs on kvm(3) that were late or ended in an error.",
    ("collector", "reason"),
)
REFUSED = Metric(
    "kvm_exporter_refused_reads_total",
    "counter",
    "Reads that the kernel refused or failed, by kvm(3) source and errno.",
    ("source", "errno"),
)
BUILD = Metric(
    "kvm_exporter_build_info",
    "info",
    "Version of the kvm(3) exporter and of the Python that runs it.",
    ("version", "python", "implementation"),
)
RELOADED = Metric(
    "kvm_exporter_config_last_reload_successful",
    "gauge",
    "Whether the kvm(3) exporter could read its configuration at the last attempt (1) or not (0).",
)
RELOAD_TIME = Metric(
    "kvm_exporter_config_last_reload_success_timestamp_seconds",
    "gauge",
    "Unix time at which the kvm(3) exporter last took a configuration.",
    (),
    "seconds",
)
REQUESTS = Metric(
    "kvm_exporter_http_requests_total",
    "counter",
    "Responses of the kvm(3) exporter's HTTP server by status code.",
    ("code",),
)

# The names and meanings of prometheus_client's ProcessCollector, read through kvm(3).
PROCESS: tuple[tuple[Metric, tuple[str, ...]], ...] = (
    (
        Metric(
            "process_cpu_seconds_total",
            "counter",
            "User and system CPU time of the exporter itself, by kvm(3).",
            (),
            "seconds",
        ),
        ("user_seconds", "system_seconds"),
    ),
    (
        Metric(
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory of the exporter itself, by kvm(3).",
            (),
            "bytes",
        ),
        ("resident_bytes",),
    ),
    (
        Metric(
            "process_virtual_memory_bytes",
            "gauge",
            "Virtual memory of the exporter itself, by kvm(3).",
            (),
            "bytes",
        ),
        ("virtual_bytes",),
    ),
    (
        Metric(
            "process_start_time_seconds",
            "gauge",
            "Unix time at which the exporter itself started, by kvm(3).",
            (),
            "seconds",
        ),
        ("start_seconds",),
    ),
    (
        Metric(
            "process_open_fds",
            "gauge",
            "Open file descriptors of the exporter itself, by kvm(3).",
        ),
        ("open_files",),
    ),
    (
        Metric(
            "process_max_fds",
            "gauge",
            "Most file descriptors that the exporter itself may have open, by kvm(3).",
        ),
        ("max_open_files",),
    ),
)

METRICS: tuple[Metric, ...] = (
    *(metric for metric, _ in BY_COLLECTOR),
    FAILURES,
    REFUSED,
    BUILD,
    RELOADED,
    RELOAD_TIME,
    REQUESTS,
    *(metric for metric, _ in PROCESS),
)


class SelfMetrics:
    """What the exporter remembers of itself; safe to use from any thread.

    ``detailed`` False leaves out ``process_*`` and the count of HTTP responses, as
    ``--web.disable-exporter-metrics`` asks.  ``others`` may be set to what an output tells of
    itself.
    """

    def __init__(self, *, detailed: bool = True) -> None:
        self._detailed = detailed
        self._lock = Lock()
        self._responses: Counter[str] = Counter()
        self._reload_successful = True
        self._reload_seconds = time.time()
        self.others: Callable[[], Iterable[Family]] = tuple

    def count_response(self, code: str) -> None:
        """Count a response with this status code."""
        with self._lock:
            self._responses[code] += 1

    def reloaded(self, *, successful: bool) -> None:
        """Note that a reload went well or did not."""
        self._reload_successful = successful
        if successful:
            self._reload_seconds = time.time()

    def families(
        self,
        states: Sequence[State],
        refusals: Mapping[tuple[str, str], int],
        kvm: Kvm | None,
    ) -> tuple[Family, ...]:
        """Every self-metric of now; ``kvm`` is where to look at our own process."""
        return (
            *(by_collector(states)),
            REFUSED.family(sorted(refusals.items())),
            BUILD.family(
                [((__version__, platform.python_version(), platform.python_implementation()), 1)]
            ),
            RELOADED.single(int(self._reload_successful)),
            RELOAD_TIME.single(self._reload_seconds),
            *self.others(),
            *(self._detail(kvm) if self._detailed else ()),
        )

    def _detail(self, kvm: Kvm | None) -> Iterable[Family]:
        with self._lock:
            responses = sorted(self._responses.items())
        yield REQUESTS.family(((code,), count) for code, count in responses)
        yield from own_process(kvm)


def by_collector(states: Sequence[State]) -> Iterable[Family]:
    """The families with a label ``collector``; a collector that never succeeded has no time."""
    for metric, value_of in BY_COLLECTOR:
        values = ((state.name, value_of(state)) for state in states)
        yield metric.family(((name,), value) for name, value in values if value is not None)
    yield FAILURES.family(
        ((state.name, reason), count)
        for state in states
        for reason, count in sorted(state.failures.items())
    )


def own_process(kvm: Kvm | None) -> Iterable[Family]:
    """Our own process as kvm(3) sees it; no sample where the kernel does not tell, or is dead."""
    process = _read_own_process(kvm)
    for metric, fields in PROCESS:
        values = [getattr(process, name, None) for name in fields]
        known = [value for value in values if value is not None]
        yield metric.family(_one(sum(known)) if len(known) == len(fields) else ())


def _read_own_process(kvm: Kvm | None) -> Process | None:
    if kvm is None or not kvm.live:
        return None
    wanted = {name for _, fields in PROCESS for name in fields}
    try:
        return next(iter(kvm.processes(wanted, ProcOp.PID, os.getpid())), None)
    except KvmError:
        return None


def _one(value: float) -> tuple[Sample, ...]:
    return (((), value),)
