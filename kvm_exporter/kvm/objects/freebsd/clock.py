"""What time is it in a dead kernel, and how long is a tick?  For the times of its processes.

1. Processes' starts are relative to the boot: struct timehands' th_boottime (sys/kern/kern_tc.c),
   before 12 the variable boottimebin, in microseconds rounded down as bintime2timeval() does.
2. Running times are CPU ticks, of cpu_tick_frequency; unless the ticks are those of the time
   counter itself (cpu_ticks is tc_cpu_ticks()): then of its frequency.
3. Wakings and sleeps are counted in ticks of hz, an int that overflows by design.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kvm_exporter.kvm.errors import FormatError, KvmError
from kvm_exporter.kvm.objects.structs import read_numbers
from kvm_exporter.kvm.target import Target

MICRO = 1_000_000


class Clock(NamedTuple):
    """``boot`` in microseconds of Unix time, ``ticks`` since boot modulo 2^32, rates in Hz.

    What could not be had is None.
    """

    boot: int | None
    ticks: int | None
    hz: int | None
    cpu_tick_rate: int | None

    def microseconds(self, cpu_ticks: int) -> int | None:
        """CPU ticks as the kernel's cputick2usec() converts them."""
        rate = self.cpu_tick_rate
        if not rate:
            return None
        return cpu_ticks // rate * MICRO + cpu_ticks % rate * MICRO // rate

    def seconds_since(self, tick: int) -> int | None:
        """Whole seconds since ``tick`` as the kernel works them out; as an unsigned int."""
        if self.ticks is None or not self.hz:
            return None
        passed = (self.ticks - tick + (1 << 31)) % (1 << 32) - (1 << 31)
        return int(passed / self.hz) % (1 << 32)


def read_clock(target: Target) -> Clock:
    """The clock at the moment of the dump; what fails is counted."""
    return Clock(
        _known(target, "boottime", _boot),
        _known(target, "ticks", lambda it: it.integer(it.address("ticks"), 4)),
        _known(target, "hz", _hz),
        _known(target, "cpu_tick_frequency", _cpu_tick_rate),
    )


def _known(target: Target, what: str, read: Callable[[Target], int]) -> int | None:
    try:
        return read(target)
    except KvmError:
        target.tally.add(what, None)
        return None


def _boot(target: Target) -> int:
    if target.has("struct timehands", "th_boottime"):
        hands = target.pointer(target.address("timehands"))
        members = ("th_boottime.sec", "th_boottime.frac")
        seconds, fraction = read_numbers(target, "struct timehands", members, hands)
    else:
        boot = target.address("boottimebin")
        seconds, fraction = read_numbers(target, "struct bintime", ("sec", "frac"), boot)
    return int(seconds) * MICRO + ((int(fraction) >> 32) * MICRO >> 32)


def _hz(target: Target) -> int:
    hz = target.integer(target.address("hz"), 4, signed=True)
    if hz <= 0:
        raise FormatError(f"hz is {hz}")
    return hz


def _cpu_tick_rate(target: Target) -> int:
    counter, ticking = target.symbols.lookup(["tc_cpu_ticks", "cpu_ticks"])
    if counter and ticking and target.pointer(ticking.value) == counter.value:
        hands = target.pointer(target.address("timehands"))
        (clock,) = read_numbers(target, "struct timehands", ("th_counter",), hands)
        (rate,) = read_numbers(target, "struct timecounter", ("tc_frequency",), clock)
    else:
        rate = target.integer(target.address("cpu_tick_frequency"), 8)
    if not 0 < int(rate) < 1 << 63:
        raise FormatError(f"a CPU tick rate of {rate} Hz")
    return int(rate)
