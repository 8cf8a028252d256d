"""How much time did a process spend in user and in system mode?  As calcru1() of
sys/kern/kern_resource.c divides it.

1. What is measured is the running time, in CPU ticks.  Each tick of the statistics clock is counted
   for the mode that it meets; the running time is divided in that proportion.
2. Times told before (rux_uu, rux_su, rux_tu) never go back: not by new ticks that change the
   proportion, nor by a clock that was recalibrated.
"""

from __future__ import annotations

from typing import NamedTuple

SLOP = 3
"""Microseconds by which a recalibrated clock may have gone back."""


class Usage(NamedTuple):
    """struct rusage_ext: ticks of the statistics clock by mode, and microseconds told before."""

    user_ticks: int
    system_ticks: int
    interrupt_ticks: int
    told_user: int
    told_system: int
    told_total: int


def user_and_system(total: int, usage: Usage) -> tuple[int, int]:
    """Microseconds of ``total``, the running time in microseconds, in user and in system mode."""
    user_ticks, system_ticks, interrupt_ticks, told_user, told_system, told_total = usage
    ticks = user_ticks + system_ticks + interrupt_ticks
    if not ticks:
        system_ticks = ticks = 1
    if total >= 1 << 63:
        total = told_total
    user, system = total * user_ticks // ticks, total * system_ticks // ticks
    if total >= told_total:
        return max(user, told_user), max(system, told_system)
    if total + SLOP > told_total or 101 * total > 100 * told_total:
        return told_user, told_system
    return user, system
