"""On what did a dead Linux's CPUs spend their time?  kernel_cpustat, as /proc/stat tells it.

1. Each CPU has nanoseconds by mode.  /proc/stat has a line for each that is online, and their sum
   with those that are not, in ticks of which a second has 100 (show_stat() in fs/proc/stat.c).
2. A CPU that stops its tick when idle keeps the time in its struct tick_sched: idle_sleeptime, or
   iowait_sleeptime where a task waits for a disk.  While it sleeps, the time since idle_entrytime
   is added (get_cpu_sleep_time_us() in kernel/time/tick-sched.c), here up to the last tick.
3. Whether it sleeps is a bit of tick_sched.flags since 6.9 (a478ffb2ae23), idle_active before.
4. Since 7.2 kernel_cpustat itself has idle_elapse and idle_entrytime, and all the time that a CPU
   slept before.  What a hypervisor took of the last sleep, idle_stealtime, counts in the next one
   (kcpustat_field_dyntick() in kernel/sched/cputime.c).
5. A CPU that is offline, and all of a kernel that always ticks, have it in kernel_cpustat.  That is
   told, too, where a tickless kernel's variables cannot be found or read, which is counted.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import cached_property, partial

from kvm_exporter.kvm.objects.linux import variables
from kvm_exporter.kvm.objects.linux.percpu import PerCpu
from kvm_exporter.kvm.objects.linux.ticks import seconds
from kvm_exporter.kvm.objects.linux.timekeeper import read_clock
from kvm_exporter.kvm.objects.model import CpuTimes
from kvm_exporter.kvm.target import Target

MODES = (
    *("user", "nice", "system", "softirq", "irq", "idle", "iowait", "steal"),
    *("guest", "guest_nice"),
)
"""enum cpu_usage_stat (include/linux/kernel_stat.h), the same since 2.6.33."""

IDLE, IOWAIT = MODES.index("idle"), MODES.index("iowait")

ACTIVE, TICKLESS = "tick_nohz_active", "get_cpu_idle_time_us"
"""A variable and a function of CONFIG_NO_HZ_COMMON."""

KERNEL_CPUSTAT, CPUSTAT = "struct kernel_cpustat", "kernel_cpustat"
TICK_SCHED, SCHED = "struct tick_sched", "tick_cpu_sched"
TS_FLAG_IDLE_ACTIVE = 1 << 2
"""kernel/time/tick-sched.h."""

MICROSECOND = 1000


def from_memory(target: Target, cpus: PerCpu) -> CpuTimes:
    """All CPUs together.  Errors: KvmError."""
    rows = _rows(target, cpus, cpus.possible)
    return _times(None, [sum(column) for column in zip(*rows.values(), strict=True)])


def per_cpu_from_memory(target: Target, cpus: PerCpu) -> tuple[CpuTimes, ...]:
    """A value for each CPU that is online.  Errors: KvmError."""
    return tuple(_times(cpu, row) for cpu, row in _rows(target, cpus, cpus.online).items())


def _rows(target: Target, cpus: PerCpu, some: Iterable[int]) -> dict[int, list[int]]:
    """Nanoseconds by mode, of each CPU."""
    shape = struct.Struct(f"{target.abi.order}{len(MODES)}Q")
    base = target.address(CPUSTAT)
    if target.has(KERNEL_CPUSTAT, "cpustat"):  # the only member, until it was the last
        base += target.offset(KERNEL_CPUSTAT, "cpustat")
    found = {}
    tickless = variables.has(target, ACTIVE, TICKLESS)
    asleep = variables.known(target, SCHED, partial(_tickless, target, cpus)) if tickless else None
    for cpu in some:
        row = list(shape.unpack(target.read(cpus.address(base, cpu), shape.size)))
        times = None
        if asleep and cpu in cpus.online:
            times = variables.known(target, SCHED, partial(asleep.times, cpu))
        if times:
            row[IDLE], row[IOWAIT] = times
        found[cpu] = row
    return found


def _tickless(target: Target, cpus: PerCpu) -> _Asleep | _Counted | None:
    """None of a kernel that always ticks."""
    if target.has(KERNEL_CPUSTAT, "idle_elapse"):
        return _Counted(target, cpus)
    return _Asleep(target, cpus) if variables.unsigned_long(target, ACTIVE) else None


class _Asleep:
    """The time that CPUs slept without a tick."""

    def __init__(self, target: Target, cpus: PerCpu) -> None:
        self._target = target
        self._cpus = cpus
        self._base = target.address(SCHED)
        self._queues = target.address("runqueues")
        members = ("idle_sleeptime", "iowait_sleeptime", "idle_entrytime")
        self._sched = target.record(TICK_SCHED, members)
        self._queue = target.record("struct rq", ("nr_iowait.counter",))

    @cached_property
    def _now(self) -> int:
        return read_clock(self._target).monotonic

    def times(self, cpu: int) -> tuple[int, int]:
        """Nanoseconds, in whole microseconds, idle and waiting for a disk."""
        at = self._cpus.address(self._base, cpu)
        idle, iowait, entered = self._sched.at(at)
        if self._sleeps(at):
            delta = max(self._now - entered, 0)
            (waiting,) = self._queue.at(self._cpus.address(self._queues, cpu))
            idle, iowait = (idle, iowait + delta) if waiting else (idle + delta, iowait)
        return idle // MICROSECOND * MICROSECOND, iowait // MICROSECOND * MICROSECOND

    def _sleeps(self, at: int) -> bool:
        sched = self._target.view(at, TICK_SCHED)
        if sched.has("idle_active"):
            return bool(int(sched["idle_active"]))
        return bool(int(sched["flags"]) & TS_FLAG_IDLE_ACTIVE)


class _Counted:
    """The time that CPUs slept without a tick, where kernel_cpustat has it (rule 4)."""

    def __init__(self, target: Target, cpus: PerCpu) -> None:
        self._target = target
        self._cpus = cpus
        self._base = target.address(CPUSTAT)
        self._queues = target.address("runqueues")
        self._queue = target.record("struct rq", ("nr_iowait.counter",))

    @cached_property
    def _now(self) -> int:
        return read_clock(self._target).monotonic

    def times(self, cpu: int) -> tuple[int, int]:
        """Nanoseconds idle and waiting for a disk."""
        stat = self._target.view(self._cpus.address(self._base, cpu), KERNEL_CPUSTAT)
        idle, iowait = (int(stat["cpustat"][mode]) for mode in (IDLE, IOWAIT))
        if not int(stat["idle_elapse"]):
            return idle, iowait
        (waiting,) = self._queue.at(self._cpus.address(self._queues, cpu))
        stolen = int(stat["idle_stealtime"][bool(waiting)])
        delta = max(self._now - int(stat["idle_entrytime"]) - stolen, 0)
        return (idle, iowait + delta) if waiting else (idle + delta, iowait)


def _times(cpu: int | None, row: Sequence[int]) -> CpuTimes:
    return CpuTimes(cpu, **dict(zip(MODES, map(seconds, row), strict=True)))
