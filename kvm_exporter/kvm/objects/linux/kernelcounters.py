"""What had a dead Linux counted as a whole?  What /proc/stat and /proc/sys tell of a live one.

1. Interrupts are each possible CPU's kstat.irqs_sum, and those that have a counter of their own:
   arch_irq_stat_cpu() adds up members of irq_cpustat_t, which differ by architecture (show_stat()
   in fs/proc/stat.c, arch/*/kernel/irq.c).
2. Context switches, and tasks that run or wait for a disk, are the run queues' (struct rq).
3. Open files are nr_files, with what each CPU has of its own; /proc/sys/fs/file-nr leaves that out
   (in 6.12; no longer in 7.2).
4. The most pids are a variable; since 6.14 (7863dcc72d0f) each pid namespace has its own limit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import islice

from kvm_exporter.kvm.errors import Fault
from kvm_exporter.kvm.objects.linux import counters, variables
from kvm_exporter.kvm.objects.linux.percpu import PerCpu
from kvm_exporter.kvm.objects.linux.timekeeper import SECOND, read_clock
from kvm_exporter.kvm.objects.model import KernelCounters
from kvm_exporter.kvm.objects.structs import Struct, read_numbers
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types.view import View

IRQ_STAT = "irq_cpustat_t"
INTERRUPTS = (
    # arch/x86/include/asm/hardirq.h
    *("__nmi_count", "apic_timer_irqs", "irq_spurious_count", "apic_perf_irqs"),
    *("apic_irq_work_irqs", "icr_read_retry_count", "x86_platform_ipis", "irq_resched_count"),
    *("irq_call_count", "irq_thermal_count", "irq_threshold_count"),
    *("irq_hv_callback_count", "irq_hv_reenlightenment_count", "hyperv_stimer0_count"),
    # arch/powerpc/include/asm/hardirq.h
    *("timer_irqs_event", "broadcast_irqs_event", "timer_irqs_others", "pmu_irqs"),
    *("mce_exceptions", "spurious_irqs", "sreset_irqs", "soft_nmi_irqs", "doorbell_irqs"),
)
"""Members that arch_irq_stat_cpu() adds up."""

VARIABLES = ("mce_exception_count", "mce_poll_count")
"""unsigned int of each CPU that x86 adds."""

MOST_SOFTIRQS = 32
"""More than NR_SOFTIRQS (10)."""


class Kernel:
    """The counters of one kernel.  Each method's errors: KvmError."""

    def __init__(self, target: Target, cpus: PerCpu) -> None:
        self._target = target
        self._cpus = cpus

    def interrupts(self) -> int:
        """The first number of /proc/stat's ``intr``."""
        total = self._statistics("irqs_sum")
        if self._has("irq_stat", "arch_irq_stat_cpu"):
            total += self._of_architecture()
        if self._has("irq_err_count", "arch_irq_stat"):
            total += variables.unsigned(self._target, "irq_err_count")
        return total

    def soft_interrupts(self) -> int:
        """All of its ``softirq``."""
        total = 0
        for cpu in self._cpus.possible:
            counts = self._own("kstat", "struct kernel_stat", cpu)["softirqs"]
            total += sum(int(one) for one in islice(counts.elements(), MOST_SOFTIRQS))
        return total

    def context_switches(self) -> int:
        """Its ``ctxt``."""
        return self._queues("nr_switches")

    def running(self) -> int:
        """Its ``procs_running``."""
        return self._queues("nr_running")

    def blocked(self) -> int:
        """Its ``procs_blocked``."""
        return self._queues("nr_iowait.counter")

    def forks(self) -> int:
        """Its ``processes``."""
        return variables.unsigned_long(self._target, "total_forks")

    def open_files(self) -> int:
        """The first number of /proc/sys/fs/file-nr; exactly, as newer kernels tell it.

        Older ones, 6.12's for one, leave out what CPUs have not handed in: some dozen of each.
        """
        return counters.exact(self._target, self._cpus, self._target.address("nr_files"))

    def max_files(self) -> int:
        """/proc/sys/fs/file-max."""
        names, at = ("max_files",), self._target.address("files_stat")
        return int(read_numbers(self._target, "struct files_stat_struct", names, at)[0])

    def inodes(self) -> int:
        """The first number of /proc/sys/fs/inode-nr."""
        base, width = self._target.address("nr_inodes"), self._target.abi.pointer_size
        return max(self._cpus.sum(base, self._cpus.possible, width, signed=True), 0)

    def max_processes(self) -> int:
        """/proc/sys/kernel/pid_max."""
        namespace = "struct pid_namespace"
        if self._target.has(namespace, "pid_max"):
            at = self._target.address("init_pid_ns")
            return int(read_numbers(self._target, namespace, ("pid_max",), at)[0])
        return variables.integer(self._target, "pid_max")

    def max_threads(self) -> int:
        """/proc/sys/kernel/threads-max."""
        return variables.integer(self._target, "max_threads")

    def _has(self, *names: str) -> bool:
        return variables.has(self._target, *names)

    def _own(self, name: str, type_: str, cpu: int) -> View:
        return self._target.view(self._cpus.symbol(name, cpu), type_)

    def _statistics(self, member: str) -> int:
        at = self._target.offset("struct kernel_stat", member)
        width = self._target.abi.pointer_size
        return self._cpus.sum(self._target.address("kstat") + at, self._cpus.possible, width)

    def _of_architecture(self) -> int:
        """Interrupts that have a counter of their own (rule 1)."""
        cpus, target = self._cpus, self._target
        stat, base = Struct(target, IRQ_STAT, INTERRUPTS), target.address("irq_stat")
        total = 0
        for cpu in cpus.possible:
            at = cpus.address(base, cpu)
            row = stat.at(at)
            if row is None:
                raise Fault(at, f"{IRQ_STAT} cannot be read")
            total += sum(row)
        own = [target.address(name) for name in VARIABLES if self._has(name)]
        return total + sum(cpus.sum(name, cpus.possible, variables.INT) for name in own)

    def _queues(self, member: str) -> int:
        queues = (self._cpus.symbol("runqueues", cpu) for cpu in self._cpus.possible)
        record = self._target.record("struct rq", (member,))
        return sum(record.at(queue)[0] for queue in queues)


FIELDS: Mapping[str, Callable[[Kernel], int]] = {
    "context_switches": Kernel.context_switches,
    "interrupts": Kernel.interrupts,
    "soft_interrupts": Kernel.soft_interrupts,
    "forks": Kernel.forks,
    "processes_running": Kernel.running,
    "processes_blocked": Kernel.blocked,
    "open_files": Kernel.open_files,
    "max_files": Kernel.max_files,
    "vnodes": Kernel.inodes,
    "max_processes": Kernel.max_processes,
    "max_threads": Kernel.max_threads,
}
"""KernelCounters' field → what reads it."""


def from_memory(target: Target, cpus: PerCpu) -> KernelCounters:
    """All of it; what cannot be had costs its own field, and is counted."""
    kernel = Kernel(target, cpus)
    values = {
        field: variables.known(target, f"kernel {field}", partial(read, kernel))
        for field, read in FIELDS.items()
    }
    return KernelCounters(boot_time_seconds=boot_time(target), **values)


def boot_time(target: Target) -> float | None:
    """Unix time of the boot in whole seconds, None, and counted, where unknown."""
    clock = variables.known(target, "timekeeper", partial(read_clock, target))
    return float(clock.boot // SECOND) if clock else None
