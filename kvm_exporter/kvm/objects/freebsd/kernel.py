"""What has FreeBSD's kernel done since boot, and how full are its tables?"""

from __future__ import annotations

from kvm_exporter.kvm.objects.freebsd.answers import Answers
from kvm_exporter.kvm.objects.model import KernelCounters

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


def from_live(answers: Answers) -> KernelCounters:
    """Each figure that this kernel gives.

    Running and blocked are threads of user processes, as ``vmstat``'s r and b columns (struct
    vmtotal: t_rq; t_dw, waiting for a disk, and t_pw, for a page).  vm.vmtotal is the dear one: the
    kernel walks every thread and every VM object for it.
    """
    sums = {field: _sum(answers, names) for field, names in SUMS.items()}
    threads = answers.optional_record("vm.vmtotal", "vmtotal", ("t_rq", "t_dw", "t_pw"))
    return KernelCounters(
        **sums,
        boot_time_seconds=_boot_time(answers),
        processes_running=threads["t_rq"] if threads else None,
        processes_blocked=threads["t_dw"] + threads["t_pw"] if threads else None,
    )


def _boot_time(answers: Answers) -> float | None:
    boot = answers.optional_record("kern.boottime", "timeval", ("tv_sec", "tv_usec"))
    return boot["tv_sec"] + boot["tv_usec"] / 1e6 if boot else None


def _sum(answers: Answers, names: tuple[str, ...]) -> int | None:
    values = [answers.number(name) for name in names]
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
