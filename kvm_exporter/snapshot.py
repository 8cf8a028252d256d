"""What did every collector say at one instant?

1. Each collector runs in a daemon thread of its own, one after the other, so that a kvm handle is
   in one thread at a time; the snapshot waits for it until its deadline.
2. A collector that is late or raises loses its own families only.  While a late one is still
   running it is not started again: it keeps its handle, and the others get a new one.
3. A collector that is not due yet keeps its last part, the very same object, so that an output
   can tell that nothing changed.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from threading import Thread

from kvm_exporter.collectors import Collect
from kvm_exporter.config import CollectorSettings, Config
from kvm_exporter.kvm import Kvm, KvmError
from kvm_exporter.metric import Family
from kvm_exporter.node_names import with_node_names
from kvm_exporter.self_metrics import SelfMetrics, State

EXPORTER = "exporter"
REMEMBERED_ERRORS = 50
"""Distinct messages of one collector that are logged; more would be a flood, whatever they say."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """One collector's families, already cut to its series budget."""

    collector: str
    families: tuple[Family, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All collectors' last word at Unix time ``time_seconds``.

    Self-metrics are the part named ``exporter``.
    """

    time_seconds: float
    parts: tuple[Part, ...]

    @property
    def series(self) -> int:
        """How many samples it has."""
        return sum(len(family.samples) for part in self.parts for family in part.families)


class Run:
    """One collection, in its own thread, with its own hold on a handle."""

    def __init__(self, settings: CollectorSettings, collect: Collect | None, kvm: Kvm) -> None:
        self._settings = settings
        self.collect = collect
        self.kvm = kvm
        self.families: tuple[Family, ...] = ()
        self.error: Exception | None = None
        self._thread = Thread(target=self._run, name=f"collect {settings.name}", daemon=True)

    def start_and_wait(self, seconds: float) -> bool:
        """Run for so long at most; whether it came to an end."""
        self._thread.start()
        self._thread.join(seconds)
        return not self.running

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            if self.collect is None:
                self.collect = self._settings.collector.start(self._settings.options)
            families = tuple(self.collect(self.kvm))
            for family in families:
                check(family)
            self.families = families
        except Exception as error:  # noqa: BLE001 - a collector's bug costs that collector only
            self.error = error


class Handles:
    """The kvm handle that collectors use in turn, and those that late ones still hold."""

    def __init__(self, open_kvm: Callable[[], Kvm]) -> None:
        self._open = open_kvm
        self._kvm: Kvm | None = None
        self._late: list[Run] = []
        self._refused: Counter[tuple[str, str]] = Counter()

    def get(self) -> Kvm:
        """The handle in use, opened at the first call.  Errors: as kvm.open()."""
        if self._kvm is None:
            self._kvm = self._open()
        return self._kvm

    def leave_to(self, late: Run) -> None:
        """Leave the handle to a run that did not end in time; the next ``get`` opens another."""
        self._late.append(late)
        self._kvm = None

    def refusals(self) -> Counter[tuple[str, str]]:
        """Refused reads of all handles there ever were: (source, errno name) → count."""
        self._close_ended()
        total = Counter(self._refused)
        for kvm in (*(run.kvm for run in self._late), *([self._kvm] if self._kvm else [])):
            total.update(kvm.refusals())
        return total

    def close(self) -> None:
        """Close every handle that no run holds."""
        self._close_ended()
        if self._kvm is not None:
            self._kvm.close()
            self._kvm = None

    def _close_ended(self) -> None:
        for run in [run for run in self._late if not run.running]:
            self._late.remove(run)
            self._refused.update(run.kvm.refusals())
            run.kvm.close()


class Job:
    """A collector with its schedule, and what became of its runs."""

    def __init__(self, settings: CollectorSettings, start: float) -> None:
        self.settings = settings
        self.state = State(settings.name)
        self.part = Part(settings.name, ())
        self.due = start
        self._collect: Collect | None = None
        self._late: Run | None = None
        self._logged: set[str] = set()

    def change(self, settings: CollectorSettings, now: float) -> None:
        """Take new settings; what the collector has gathered lasts while its options do."""
        old = self.settings
        if (settings.collector, settings.options) != (old.collector, old.options):
            self._collect = None
        if settings != old:
            self.due = now
        self.settings = settings

    def postpone(self, now: float) -> None:
        """Set the next due time: on the grid of intervals, later than ``now``."""
        interval = self.settings.interval_seconds
        self.due += interval * max(1, int((now - self.due) // interval) + 1)

    def collect(self, handles: Handles, compat: Sequence[str]) -> None:
        """Run once, within the deadline, and keep the part that came of it."""
        if self._late is not None and self._late.running:
            self._fail("late", "it is still running and was not started again")
            return
        self._late = None
        try:
            run = Run(self.settings, self._collect, handles.get())
        except KvmError as error:
            self._fail("error", str(error))
            return
        begin = time.monotonic()
        ended = run.start_and_wait(self.settings.deadline_seconds)
        self.state.duration_seconds = time.monotonic() - begin
        if not ended:
            self._late = run
            handles.leave_to(run)
            deadline = f"{self.settings.deadline_seconds:g} s"
            self._fail("late", f"not done within its deadline of {deadline}")
        elif run.error is not None:
            self._fail("error", f"{type(run.error).__name__}: {run.error}", run.error)
        else:
            self._collect = run.collect
            self._succeed(run.families, compat)

    def _fail(self, reason: str, message: str, error: Exception | None = None) -> None:
        self.part = Part(self.settings.name, ())
        self.state.success = False
        self.state.error = message
        self.state.failures[reason] += 1
        if message not in self._logged and len(self._logged) < REMEMBERED_ERRORS:
            self._logged.add(message)
            trace = error if log.isEnabledFor(logging.DEBUG) else None
            log.warning("collector %s failed: %s", self.settings.name, message, exc_info=trace)

    def _succeed(self, families: tuple[Family, ...], compat: Sequence[str]) -> None:
        kept, dropped = within(self.settings.max_series, families)
        if dropped and not self.state.dropped:
            log.warning(
                "collector %s gave %d series more than its max_series of %d; dropped",
                self.settings.name,
                dropped,
                self.settings.max_series,
            )
        if "node_exporter" in compat:
            kept = with_node_names(kept)
        self.part = Part(self.settings.name, kept)
        self.state.success = True
        self.state.error = ""
        self.state.last_success_seconds = time.time()
        self.state.dropped += dropped


def check(family: Family) -> None:
    """Refuse what no output could send: a collector that is not ours may give anything.

    Errors: ValueError, TypeError naming the metric.
    """
    metric = family.metric
    if not family.samples:
        return
    labels, values = zip(*family.samples, strict=True)
    if set(map(len, labels)) != {len(metric.labels)}:
        raise ValueError(f"{metric.name}: a sample has not one value for each of {metric.labels}")
    if not set(map(type, chain.from_iterable(labels))) <= {str}:
        raise TypeError(f"{metric.name}: a label's value is not a str")
    if not set(map(type, values)) <= {int, float, bool}:
        raise TypeError(f"{metric.name}: a sample's value is neither int nor float")


def within(max_series: int, families: Iterable[Family]) -> tuple[tuple[Family, ...], int]:
    """Families cut to so many samples, from the end, and how many samples that cost."""
    kept: list[Family] = []
    room, dropped = max_series, 0
    for family in families:
        excess = max(0, len(family.samples) - room)
        if excess:
            family = Family(family.metric, family.samples[:room])  # noqa: PLW2901 - the cut one
        room -= len(family.samples)
        dropped += excess
        if family.samples or not excess:
            kept.append(family)
    return tuple(kept), dropped


class Collection:
    """All enabled collectors against one kernel; ``kernel`` is its name, once it is known.

    For one thread; others may look at ``states`` and ``kernel``.
    """

    def __init__(
        self, config: Config, open_kvm: Callable[[], Kvm], self_metrics: SelfMetrics
    ) -> None:
        self._handles = Handles(open_kvm)
        self._self_metrics = self_metrics
        self._jobs: dict[str, Job] = {}
        self._compat: tuple[str, ...] = ()
        self.kernel: str | None = None
        self.change(config)

    def change(self, config: Config) -> None:
        """Take a new configuration; collectors whose options are the same keep their state."""
        now = time.monotonic()
        jobs = {}
        for settings in config.collectors:
            job = self._jobs.get(settings.name) or Job(settings, now)
            job.change(settings, now)
            if config.compat != self._compat:
                job.due = now
            jobs[settings.name] = job
        self._jobs = jobs
        self._compat = config.compat

    @property
    def due(self) -> float:
        """The monotonic time at which the next collector is due."""
        return min((job.due for job in self._jobs.values()), default=float("inf"))

    @property
    def states(self) -> tuple[State, ...]:
        """How every collector fared, in the configuration's order."""
        return tuple(job.state for job in self._jobs.values())

    def collect(self) -> Snapshot:
        """Run what is due and put it together with what still holds."""
        now = time.monotonic()
        due = [job for job in self._jobs.values() if job.due <= now]
        # those that failed the last time may be late again: the others need not wait for them
        for job in sorted(due, key=lambda job: not job.state.success):
            job.collect(self._handles, self._compat)
            job.postpone(time.monotonic())
        kvm = self._kvm()
        self.kernel = self.kernel or _uname(kvm)
        own = self._self_metrics.families(self.states, self._handles.refusals(), kvm)
        parts = (*(job.part for job in self._jobs.values()), Part(EXPORTER, own))
        return Snapshot(time.time(), parts)

    def refusals(self) -> Counter[tuple[str, str]]:
        """Reads that the kernel refused or failed: (source, errno name) → count."""
        return self._handles.refusals()

    def close(self) -> None:
        """Close the kernel's handle; a late collector's is closed with the process."""
        self._handles.close()

    def _kvm(self) -> Kvm | None:
        try:
            return self._handles.get()
        except KvmError:
            return None


def _uname(kvm: Kvm | None) -> str | None:
    """One line of uname(3), as ``uname -a`` prints it."""
    if kvm is None:
        return None
    try:
        uname = kvm.uname()
    except KvmError:
        return None
    return " ".join((uname.sysname, uname.nodename, uname.release, uname.version, uname.machine))
