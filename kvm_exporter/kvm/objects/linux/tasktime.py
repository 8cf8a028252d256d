"""How much time did a thread spend in user and in system mode?  As the kernel divides it.

1. What is measured is the running time, in nanoseconds; the ticks of the clock say which part of it
   was the system's.  What was told before never goes back (cputime_adjust(),
   kernel/sched/cputime.c).
2. Until 5.9 (3dc167ba5729) the kernel divided with 32 bits of precision, so that one tick in a
   million came out otherwise.
3. Kernels that measure each mode itself (CONFIG_VIRT_CPU_ACCOUNTING_NATIVE) have nothing to divide.
"""

from __future__ import annotations

from typing import NamedTuple


class Times(NamedTuple):
    """Nanoseconds in user and in system mode."""

    user: int
    system: int


def adjusted(counted: Times, run: int, told: Times) -> Times:
    """The running time ``run``, divided as ``counted`` says; ``told`` is the last answer."""
    if told.user + told.system >= run:
        return told
    if not counted.system:
        system = 0
    elif not counted.user:
        system = run
    else:
        system = min(counted.system * run // (counted.system + counted.user), run)
    system = max(system, told.system)
    user = run - system
    if user < told.user:
        return Times(told.user, run - told.user)
    return Times(user, system)
