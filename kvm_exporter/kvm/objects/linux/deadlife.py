"""When did a dead Linux start, and when and of what did it die?

1. Its clock is its timekeeper's, at the last tick; the time of boot is told in whole seconds, the
   uptime in hundredths, as /proc/stat and /proc/uptime do.
2. It died if panic_cpu says so (deadlog.py) or VMCOREINFO has CRASHTIME, which is the time then.
   Otherwise the dump is one of a kernel that lived: it has no last words, and the time is when it
   was dumped, as for FreeBSD's live dumps.
"""

from __future__ import annotations

from functools import partial

from kvm_exporter.kvm.objects.linux import variables
from kvm_exporter.kvm.objects.linux.deadlog import last_words
from kvm_exporter.kvm.objects.linux.printk import records
from kvm_exporter.kvm.objects.linux.timekeeper import SECOND, read_clock
from kvm_exporter.kvm.objects.linux.told import Told
from kvm_exporter.kvm.objects.model import Life
from kvm_exporter.kvm.target import Target

NO_CPU = -1
"""PANIC_CPU_INVALID (include/linux/panic.h)."""

LONGEST_TIME = 20
"""Digits of a time in 64 bits."""

HUNDREDTH = SECOND // 100


def from_memory(target: Target, told: Told | None = None) -> Life:
    """What cannot be had is None, and counted."""
    crash_time = _crash_time(told)
    clock = variables.known(target, "timekeeper", partial(read_clock, target))
    boot = float(clock.boot // SECOND) if clock else None
    uptime = clock.uptime // HUNDREDTH / 100 if clock else None
    now = clock.now / SECOND if clock else None
    if crash_time is None and not _panicked(target):
        return Life(boot, uptime, now)
    death = now if crash_time is None else float(crash_time)
    return Life(boot, uptime, death, _panic(target, told))


def _crash_time(told: Told | None) -> int | None:
    """Unix time at which the kernel dumped itself."""
    text = (told.value("CRASHTIME") if told else None) or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= LONGEST_TIME else None


def _panicked(target: Target) -> bool:
    cpu = variables.known(target, "panic_cpu", partial(variables.integer, target, "panic_cpu"))
    return cpu is not None and cpu != NO_CPU


def _panic(target: Target, told: Told | None) -> str | None:
    return variables.known(target, "panic", lambda: last_words(records(target, told)))
