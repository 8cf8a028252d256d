"""What has been counted that each CPU counts for itself?  struct percpu_counter.

1. ``count`` is what the CPUs have handed in; each has up to ``batch`` more of its own, above or
   below zero (lib/percpu_counter.c).
2. A CPU that went offline has handed in what it had; a kernel for one CPU has ``count`` alone.
3. Some of /proc tells ``count`` alone (percpu_counter_read_positive()); here it is always exact.
"""

from __future__ import annotations

from kvm_exporter.kvm.objects.linux.percpu import PerCpu
from kvm_exporter.kvm.target import Target

COUNTER = "struct percpu_counter"


def exact(target: Target, cpus: PerCpu, address: int) -> int:
    """percpu_counter_sum_positive() of the counter at ``address``; KvmError."""
    total = target.integer(address + target.offset(COUNTER, "count"), 8, signed=True)
    if target.has(COUNTER, "counters"):
        copies = target.pointer(address + target.offset(COUNTER, "counters"))
        total += cpus.sum(copies, cpus.possible, 4, signed=True)
    return max(total, 0)
