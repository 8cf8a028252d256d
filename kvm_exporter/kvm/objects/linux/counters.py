"""What has been counted that each CPU counts for itself?  struct percpu_counter.

1. ``count`` is what the CPUs have handed in; each has up to ``batch`` more of its own, above or
   below zero (lib/percpu_counter.c).
2. A CPU that went offline has handed in what it had; a kernel for one CPU has ``count`` alone.
3. Much of /proc tells ``count`` alone, as percpu_counter_read_positive() does.
"""

from __future__ import annotations

from kvm_exporter.kvm.objects.linux.percpu import PerCpu
from kvm_exporter.kvm.target import Target

COUNTER = "struct percpu_counter"


def handed_in(target: Target, address: int) -> int:
    """percpu_counter_read_positive() of the counter at ``address``; KvmError."""
    return max(_count(target, address), 0)


def exact(target: Target, cpus: PerCpu, address: int) -> int:
    """percpu_counter_sum_positive() of the counter at ``address``; KvmError."""
    total = _count(target, address)
    if target.has(COUNTER, "counters"):
        copies = target.pointer(address + target.offset(COUNTER, "counters"))
        total += cpus.sum(copies, cpus.possible, 4, signed=True)
    return max(total, 0)


def _count(target: Target, address: int) -> int:
    return target.integer(address + target.offset(COUNTER, "count"), 8, signed=True)
