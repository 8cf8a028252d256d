"""Where did FreeBSD's CPUs spend their time?

The kernel counts ticks of the statistics clock (kern.clockrate's stathz; hz on a machine that has
but one clock) in five states, as unsigned longs (sys/sys/resource.h, CP_USER to CP_IDLE).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.objects.freebsd.answers import Answers
from kvm_exporter.kvm.objects.freebsd.percpu import PCPU, PerCpu
from kvm_exporter.kvm.objects.freebsd.variables import Variables
from kvm_exporter.kvm.objects.model import CpuTimes
from kvm_exporter.kvm.target import Target

STATES = 5
"""CPUSTATES: user, nice, system, interrupt, idle."""


def from_live(answers: Answers) -> CpuTimes:
    """kern.cp_time: all CPUs together."""
    ticks = _ticks(answers, "kern.cp_time")
    if len(ticks) != STATES:
        raise FormatError(f"sysctl kern.cp_time: {len(ticks)} states, where {STATES} are known")
    return _times(None, ticks, _rate(answers))


def per_cpu_from_live(answers: Answers) -> tuple[CpuTimes, ...]:
    """kern.cp_times: a value a CPU.

    The kernel gives a row for each CPU number up to the highest; one that is absent has never
    ticked, and is left out.
    """
    ticks = _ticks(answers, "kern.cp_times")
    if not ticks or len(ticks) % STATES:
        raise FormatError(f"sysctl kern.cp_times: {len(ticks)} longs are no rows of {STATES}")
    rows = [ticks[at : at + STATES] for at in range(0, len(ticks), STATES)]
    rate = _rate(answers)
    return tuple(_times(cpu, row, rate) for cpu, row in enumerate(rows) if any(row))


def from_memory(target: Target, variables: Variables, cpus: PerCpu) -> CpuTimes:
    """All CPUs together: the kernel keeps no sum since each CPU counts for itself."""
    return _times(None, ticks_from_memory(target, cpus), _clock(variables))


def ticks_from_memory(target: Target, cpus: PerCpu) -> tuple[int, ...]:
    """The same as the kernel has them, in ticks: what kern.cp_time and kvm_getcptime(3) give."""
    rows = _rows(target, cpus).values()
    return tuple(sum(states) for states in zip(*rows, strict=True))


def per_cpu_from_memory(target: Target, variables: Variables, cpus: PerCpu) -> tuple[CpuTimes, ...]:
    """Each CPU's own (struct pcpu's pc_cp_time); one that never ticked is left out here, too."""
    rate = _clock(variables)
    rows = _rows(target, cpus)
    return tuple(_times(cpu, row, rate) for cpu, row in rows.items() if any(row))


def _rows(target: Target, cpus: PerCpu) -> dict[int, tuple[int, ...]]:
    at = target.offset(PCPU, "pc_cp_time")
    long = struct.Struct(f"{target.abi.order}{STATES}{target.abi.pointer}")
    return {
        cpu: long.unpack(target.read(address + at, long.size))
        for cpu, address in cpus.addresses.items()
    }


def _ticks(answers: Answers, name: str) -> tuple[int, ...]:
    raw = answers.required(name)
    long = struct.Struct(answers.abi.order + answers.abi.pointer)
    if len(raw) % long.size:
        raise FormatError(f"sysctl {name}: {len(raw)} bytes are no longs of {long.size}")
    return tuple(value for (value,) in long.iter_unpack(raw))


def _clock(variables: Variables) -> int:
    """Ticks a second, out of memory: kern.clockrate's stathz."""
    return _checked(variables.required_number("stathz") or variables.required_number("hz"))


def _rate(answers: Answers) -> int:
    clock = answers.required_record("kern.clockrate", "clockinfo", ("hz", "stathz"))
    return _checked(clock["stathz"] or clock["hz"])


def _checked(rate: int) -> int:
    if not 0 < rate < 2**31:
        raise FormatError(f"kern.clockrate: a clock of {rate} ticks a second")
    return rate


def _times(cpu: int | None, ticks: Sequence[int], rate: int) -> CpuTimes:
    user, nice, system, interrupt, idle = (count / rate for count in ticks)
    return CpuTimes(cpu, user, nice, system, idle, interrupt)
