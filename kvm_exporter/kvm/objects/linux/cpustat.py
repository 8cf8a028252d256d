"""On what did a dead Linux's CPUs spend their time?  kernel_cpustat, as /proc/stat tells it.

1. Each CPU has nanoseconds by mode.  /proc/stat has a line for each that is online, and their sum
   with those that are not, in ticks of which a second has 100 (show_stat() in fs/proc/stat.c).
2. A CPU that stops its tick when idle keeps the time in its struct tick_sched: idle_sleeptime, or
   iowait_sleeptime where a task waits for a disk.  While it sleeps, the time since idle_entrytime
   is added (get_cpu_sleep_time_us() in kernel/time/tick-sched.c), here up to the last tick.
3. Whether it sleeps is a bit of tick_sched.flags since 6.9 (a478ffb2ae23), idle_active before.
4. A CPU that is offline, and all of a kernel that always ticks, have it in kernel_cpustat, too.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.objects.linux import variables
from kvm_exporter.kvm.objects.linux.percpu import PerCpu
from kvm_exporter.kvm.objects.linux.timekeeper import read_clock
from kvm_exporter.kvm.objects.model import CpuTimes
from kvm_exporter.kvm.objects.structs import read_numbers
from kvm_exporter.kvm.target import Target

MODES = (
    *("user", "nice", "system", "softirq", "irq", "idle", "iowait", "steal"),
    *("guest", "guest_nice"),
)
"""enum cpu_usage_stat (include/linux/kernel_stat.h), the same since 2.6.33."""

IDLE, IOWAIT = MODES.index("idle"), MODES.index("iowait")

USER_HZ = 100
TICK = 1_000_000_000 // USER_HZ
"""Nanoseconds (include/uapi/asm-generic/param.h)."""

TICK_SCHED = "struct tick_sched"
TS_FLAG_IDLE_ACTIVE = 1 << 2
"""kernel/time/tick-sched.h."""

MICROSECOND = 1000


def from_memory(target: Target, cpus: PerCpu) -> CpuTimes:
    """All CPUs together.  Errors: KvmError."""
    rows = [_row(target, cpus, cpu) for cpu in cpus.possible]
    return _times(None, [sum(column) for column in zip(*rows, strict=True)])


def per_cpu_from_memory(target: Target, cpus: PerCpu) -> tuple[CpuTimes, ...]:
    """A value for each CPU that is online.  Errors: KvmError."""
    return tuple(_times(cpu, _row(target, cpus, cpu)) for cpu in cpus.online)


def _row(target: Target, cpus: PerCpu, cpu: int) -> list[int]:
    """Nanoseconds by mode."""
    shape = struct.Struct(f"{target.abi.order}{len(MODES)}Q")
    row = list(shape.unpack(target.read(cpus.symbol("kernel_cpustat", cpu), shape.size)))
    if cpu in cpus.online and variables.has(target, "tick_nohz_active"):
        try:
            asleep = _asleep(target, cpus, cpu)
        except KvmError:
            target.tally.add("tick_cpu_sched", None)
            asleep = None
        if asleep:
            row[IDLE], row[IOWAIT] = asleep
    return row


def _asleep(target: Target, cpus: PerCpu, cpu: int) -> tuple[int, int] | None:
    """Nanoseconds without a tick, idle and waiting for a disk; None if the kernel always ticks."""
    if not variables.unsigned_long(target, "tick_nohz_active"):
        return None
    at = cpus.symbol("tick_cpu_sched", cpu)
    members = ("idle_sleeptime", "iowait_sleeptime", "idle_entrytime")
    idle, iowait, entered = read_numbers(target, TICK_SCHED, members, at)
    if _sleeps(target, at):
        delta = max(read_clock(target).monotonic - entered, 0)
        if waiting(target, cpus, cpu):
            iowait += delta
        else:
            idle += delta
    return idle // MICROSECOND * MICROSECOND, iowait // MICROSECOND * MICROSECOND


def _sleeps(target: Target, at: int) -> bool:
    sched = target.view(at, TICK_SCHED)
    if sched.has("idle_active"):
        return bool(int(sched["idle_active"]))
    return bool(int(sched["flags"]) & TS_FLAG_IDLE_ACTIVE)


def waiting(target: Target, cpus: PerCpu, cpu: int) -> int:
    """Tasks of a CPU's run queue that wait for a disk (nr_iowait_cpu())."""
    queue = cpus.symbol("runqueues", cpu)
    (count,) = read_numbers(target, "struct rq", ("nr_iowait.counter",), queue)
    return int(count)


def _times(cpu: int | None, row: Sequence[int]) -> CpuTimes:
    seconds = {mode: count // TICK / USER_HZ for mode, count in zip(MODES, row, strict=True)}
    return CpuTimes(cpu, **seconds)
