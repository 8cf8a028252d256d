"""What time is it in a dead Linux?  struct timekeeper, as it was when it was last wound.

1. The clock is in tk_core, behind its sequence counter, since 6.17 in the first one of several,
   timekeeper_data.  What surrounds it got a name later (struct tk_data); else it lies at the next
   multiple of 8 or, on i386, of 4.  Until 6.12 shadow_timekeeper is a copy of it.
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
SHADOW, SEQUENCE = "shadow_timekeeper", "seqcount_raw_spinlock_t"

LARGEST_SHIFT = 32
"""Of a clock source (clocks_calc_mult_shift() in kernel/time/clocksource.c)."""

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
    clocks = (_clock(target, at) for at in _timekeepers(target))
    found = next((clock for clock in clocks if clock), None)
    if found is None:
        raise FormatError(f"{TIMEKEEPER}: its times cannot be; it is damaged")
    return found


def _clock(target: Target, at: int) -> Clock | None:
    """None where it cannot be one."""
    base, fraction, shift, real, asleep = read_numbers(target, TIMEKEEPER, MEMBERS, at)
    if not 0 < shift <= LARGEST_SHIFT:
        return None
    monotonic = base + (fraction >> shift)
    clock = Clock(monotonic, monotonic + asleep, real - asleep, monotonic + real)
    return clock if all(0 <= time < CENTURIES for time in clock) else None


def _timekeepers(target: Target) -> list[int]:
    """Where it may be (rule 1)."""
    if variables.has(target, SHADOW):
        return [target.address(SHADOW)]
    core = variables.find(target, "timekeeper_data", "tk_core")
    if target.has("struct tk_data", "timekeeper"):
        return [core + target.offset("struct tk_data", "timekeeper")]
    counter = target.view(0, SEQUENCE).size
    return [core + -(-counter // alignment) * alignment for alignment in (8, 4)]
