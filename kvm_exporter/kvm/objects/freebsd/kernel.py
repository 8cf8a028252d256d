"""What has FreeBSD's kernel done since boot, and how full are its tables?"""

from __future__ import annotations

from collections.abc import Iterator

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.objects.freebsd import life
from kvm_exporter.kvm.objects.freebsd.answers import Answers, Numbers
from kvm_exporter.kvm.objects.freebsd.variables import Variables
from kvm_exporter.kvm.objects.model import KernelCounters
from kvm_exporter.kvm.target import Target

SUMS = {
    "context_switches": ("vm.stats.sys.v_swtch",),
    "interrupts": ("vm.stats.sys.v_intr",),
    "soft_interrupts": ("vm.stats.sys.v_soft",),
    "traps": ("vm.stats.sys.v_trap",),
    "system_calls": ("vm.stats.sys.v_syscall",),
    # As vmstat -f counts them; kernel processes (v_kthreads) are nobody's fork.
    "forks": ("vm.stats.vm.v_forks", "vm.stats.vm.v_vforks", "vm.stats.vm.v_rforks"),
    "open_files": ("kern.openfiles",),
    "max_files": ("kern.maxfiles",),
    "vnodes": ("vfs.numvnodes",),
    "max_vnodes": ("kern.maxvnodes",),
    "max_processes": ("kern.maxproc",),
    "max_threads": ("kern.maxthread",),
}
"""KernelCounters' field → the sysctls whose sum it is."""

PAGE_WAITERS = ("vm_severe_waiters", "vm_min_waiters", "vm_pageproc_waiters")
"""Threads that wait for a page (vm_wait_count() in sys/vm/vm_page.c)."""

PROCESS = ("p_list.le_next", "p_flag", "p_state", "p_threads.tqh_first")
THREAD = ("td_plist.tqe_next", "td_state", "td_inhibitors", "td_priority")

SYSTEM_PROCESS, NEW = 0x200, 0
"""P_SYSTEM, PRS_NEW (sys/sys/proc.h)."""

INHIBITED, RUNNABLE, SLEEPING = 1, (3, 4), 0x2
"""TDS_INHIBITED; TDS_RUNQ and TDS_RUNNING; TDI_SLEEPING (sys/sys/proc.h)."""


def from_live(answers: Answers) -> KernelCounters:
    """Each figure that this kernel gives.

    Running and blocked are threads of user processes, as ``vmstat``'s r and b columns (struct
    vmtotal: t_rq; t_dw, waiting for a disk, and t_pw, for a page).  vm.vmtotal is the dear one: the
    kernel walks every thread and every VM object for it.
    """
    threads = answers.optional_record("vm.vmtotal", "vmtotal", ("t_rq", "t_dw", "t_pw"))
    return KernelCounters(
        **_sums(answers),
        boot_time_seconds=life.boot_time_from_live(answers),
        processes_running=threads["t_rq"] if threads else None,
        processes_blocked=threads["t_dw"] + threads["t_pw"] if threads else None,
    )


def from_memory(target: Target, variables: Variables) -> KernelCounters:
    """As from_live, of a dead kernel; the threads are counted as vm.vmtotal counts them."""
    running, blocked = _threads(target, variables)
    return KernelCounters(
        **_sums(variables),
        boot_time_seconds=life.from_memory(target).boot_time_seconds,
        processes_running=running,
        processes_blocked=blocked,
    )


def _sums(numbers: Numbers) -> dict[str, int | None]:
    return {field: _sum(numbers, names) for field, names in SUMS.items()}


def _sum(numbers: Numbers, names: tuple[str, ...]) -> int | None:
    values = [numbers.number(name) for name in names]
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _threads(target: Target, variables: Variables) -> tuple[int | None, int | None]:
    """Threads of user processes that run or could, and those that wait for a disk or a page."""
    try:
        states = [thread[1:] for thread in _user_threads(target)]
    except KvmError:
        target.tally.add("vm.vmtotal", None)
        return None, None
    running = sum(state in RUNNABLE for state, _, _ in states)
    least = _least_priority(target)
    waiting = _sum(variables, PAGE_WAITERS)
    if least is None or waiting is None:
        return running, None
    asleep = (p for state, why, p in states if state == INHIBITED and why & SLEEPING)
    return running, sum(priority <= least for priority in asleep) + waiting


def _user_threads(target: Target) -> Iterator[tuple[int, ...]]:
    processes = target.record("struct proc", PROCESS)
    threads = target.record("struct thread", THREAD)
    first = target.pointer(target.address("allproc"))
    for _, flags, state, thread in target.rows(first, processes, "allproc"):
        if not flags & SYSTEM_PROCESS and state != NEW:
            yield from target.rows(thread, threads, "p_threads")


def _least_priority(target: Target) -> int | None:
    """PZERO: a thread that sleeps at this priority or a better one waits for a disk.

    A number of the kernel's source, which no symbol or type tells; 15 has new ones
    (sys/sys/priority.h).  proc0's thread still has what it was born with, PVM: 41 there, 84 before.
    """
    try:
        base = target.record("struct thread", ("td_base_pri",))
        (priority,) = base.at(target.address("thread0_st"))
    except KvmError:
        target.tally.add("thread0_st", None)
        return None
    return 45 if priority < 80 else 100
