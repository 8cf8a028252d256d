"""What time is it in a dead Linux?  struct timekeeper, as it was when it was last wound.

1. Since 6.13 the clock is in a struct tk_data, tk_core; since 6.17 the first one of several,
   timekeeper_data.  Before, what surrounds it has no name, but shadow_timekeeper is a copy of it.
2. Monotonic time is tkr_mono.base and xtime_nsec >> shift; what the clock's counter went on since
   is not known of a dead machine: a tick at most while any CPU is busy (ktime_get()).
3. offs_real and offs_boot lead from monotonic time to Unix time and to the time since boot, in
   which time asleep counts.

Source: include/linux/timekeeper_internal.h, kernel/time/timekeeping.c.  Times are nanoseconds.
"""

from __future__ import annotations

from typing import NamedTuple

from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.objects.linux import variables
from kvm_exporter.kvm.objects.structs import read_numbers
from kvm_exporter.kvm.target import Target

TIMEKEEPER = "struct timekeeper"
MEMBERS = ("tkr_mono.base", "tkr_mono.xtime_nsec", "tkr_mono.shift", "offs_real", "offs_boot")

SECOND = 1_000_000_000
CENTURIES = 1 << 63
"""A time beyond this is damage (ktime_t has 63 bits)."""


class Clock(NamedTuple):
    """``monotonic``: since the kernel started, time asleep left out; the others are Unix time."""

    monotonic: int
    uptime: int
    boot: int
    now: int


def read_clock(target: Target) -> Clock:
    """The time of the kernel's last tick.  Errors: KvmError."""
    base, fraction, shift, real, asleep = read_numbers(
        target, TIMEKEEPER, MEMBERS, _timekeeper(target)
    )
    monotonic = base + (fraction >> min(shift, 63))
    clock = Clock(monotonic, monotonic + asleep, real - asleep, monotonic + real)
    if not all(0 <= time < CENTURIES for time in clock):
        raise FormatError(f"{TIMEKEEPER}: times of {clock}; it is damaged")
    return clock


def _timekeeper(target: Target) -> int:
    if target.has("struct tk_data", "timekeeper"):
        core = variables.find(target, "timekeeper_data", "tk_core")
        return core + target.offset("struct tk_data", "timekeeper")
    return target.address("shadow_timekeeper")
