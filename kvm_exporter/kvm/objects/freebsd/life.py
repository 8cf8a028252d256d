"""When did FreeBSD start, and when and of what did it die?

1. The kernel's clock is in the current struct timehands (sys/kern/kern_tc.c): th_offset, the uptime
   when the clock was last wound, at most a tick ago, and th_boottime.  Before 12 the time of boot
   is a variable, boottime.
2. Times of the kernel are struct bintime: seconds and 2^-64ths of one.  kern.boottime gives
   microseconds, rounded down; so does this.
3. A kernel that panicked has its message behind panicstr.  The dump's own header has it too.
"""

from __future__ import annotations

from dataclasses import dataclass

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.objects.freebsd.answers import Answers
from kvm_exporter.kvm.objects.model import Life
from kvm_exporter.kvm.target import Target

TIMEHANDS = "struct timehands"
LONGEST_PANIC = 256
"""Bytes of vpanic()'s buffer (sys/kern/kern_shutdown.c)."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a dump's header says of the kernel's death, where there is one."""

    death_time_seconds: float | None = None
    panic: str | None = None


def from_live(answers: Answers) -> Life:
    """The time of boot; no sysctl tells the uptime, and this library has no clock."""
    return Life(boot_time_seconds=boot_time_from_live(answers))


def boot_time_from_live(answers: Answers) -> float | None:
    """kern.boottime."""
    boot = answers.optional_record("kern.boottime", "timeval", ("tv_sec", "tv_usec"))
    return boot["tv_sec"] + boot["tv_usec"] / 1e6 if boot else None


def from_memory(target: Target, header: Header | None = None) -> Life:
    """What the kernel's own memory says; of its death, what ``header`` says where it does."""
    header = header or Header()
    boot, uptime = _clock(target)
    death = header.death_time_seconds
    if death is None and boot is not None and uptime is not None:
        death = boot + uptime
    return Life(boot, uptime, death, _panic(target) or header.panic)


def _clock(target: Target) -> tuple[float | None, float | None]:
    """The times of boot, and from boot on."""
    try:
        hands = target.pointer(target.address("timehands"))
        uptime = _seconds(target, hands, "th_offset")
        if target.has(TIMEHANDS, "th_boottime"):
            return _seconds(target, hands, "th_boottime"), uptime
        record = target.record("struct timeval", ("tv_sec", "tv_usec"))
        seconds, microseconds = record.at(target.address("boottime"))
        return float(seconds + microseconds / 1e6), uptime
    except KvmError:
        target.tally.add("timehands", None)
        return None, None


def _seconds(target: Target, hands: int, member: str) -> float:
    record = target.record(TIMEHANDS, (f"{member}.sec", f"{member}.frac"))
    seconds, fraction = record.at(hands)
    return float(seconds + (fraction * 1_000_000 >> 64) / 1e6)


def _panic(target: Target) -> str | None:
    try:
        message = target.pointer(target.address("panicstr"))
        return target.string(message, LONGEST_PANIC) if message else None
    except KvmError:
        target.tally.add("panicstr", None)
        return None
