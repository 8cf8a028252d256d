"""From which of the kernel's structs is a Linux process told, and how does one come from another?

``task`` is where it begins, a thread's struct task_struct; ``threads`` are sums over all of a
process's.  objects/sources.py has the rules.  The structs: include/linux/sched.h, sched/signal.h,
mm_types.h, cred.h, pid.h, tty.h, fdtable.h, nsproxy.h, cgroup-defs.h.
"""

from __future__ import annotations

from collections.abc import Mapping

from kvm_exporter.kvm.objects.sources import Source

TASK = (
    *("__state|state", "exit_state", "flags", "comm[]", "stack", "on_rq"),
    *("prio", "static_prio", "ptrace", "thread_info.cpu|cpu"),
    *("real_parent", "parent", "group_leader", "signal", "mm", "files", "nsproxy", "cgroups"),
    *("real_cred", "thread_pid", "pids[]", "worker_private|set_child_tid"),
    *("start_boottime|real_start_time", "utime", "stime", "se.sum_exec_runtime"),
    *("prev_cputime.utime", "prev_cputime.stime", "min_flt", "maj_flt", "nvcsw", "nivcsw"),
    *("ioac.read_bytes", "ioac.write_bytes"),
)
"""Members of struct task_struct, beside those that tasklist.py reads.

__state is of 5.14 (2f064a59a11f); the CPU is that of thread_info since 5.16 (bcf9033e5449), and was
before where there is no other; worker_private is of 5.17 (e32cf5dfbe22), start_boottime of 5.5
(cf25e24db61c), thread_pid of 4.19 (2c4704756cab).
"""

OF_THREADS = (
    *("utime", "stime", "se.sum_exec_runtime", "min_flt", "maj_flt"),
    *("ioac.read_bytes", "ioac.write_bytes"),
)
"""Of those, what a process's threads have a sum of."""

SOURCES: Mapping[str, Source] = {
    "signal": Source(
        "struct signal_struct",
        "task.signal",
        "nr_threads pids[] tty rlim[] min_flt maj_flt utime stime cutime cstime sum_sched_runtime "
        "prev_cputime.utime prev_cputime.stime ioac.read_bytes ioac.write_bytes",
    ),
    "leader": Source(
        "struct task_struct",
        "task.group_leader",
        "comm[] flags worker_private|set_child_tid pids[]",
    ),
    "parent": Source("struct task_struct", "task.real_parent", "tgid"),
    "tracer": Source("struct task_struct", "task.parent", "pid"),
    "cred": Source(
        "struct cred",
        "task.real_cred",
        "uid.val euid.val suid.val gid.val egid.val sgid.val group_info user_ns",
    ),
    "tty": Source("struct tty_struct", "signal.tty", "driver index ctrl.pgrp|pgrp"),
    "driver": Source("struct tty_driver", "tty.driver", "major minor_start"),
    "mm": Source(
        "struct mm_struct",
        "mm",
        "rss_stat[] hiwater_rss total_vm exec_vm data_vm stack_vm start_code end_code",
    ),
    "stack": Source("struct thread_info", "task.stack", "cpu"),
    "files": Source("struct files_struct", "task.files", "fdt"),
    "fdtable": Source("struct fdtable", "files.fdt", "max_fds open_fds"),
    "nsproxy": Source(
        "struct nsproxy",
        "task.nsproxy",
        "cgroup_ns ipc_ns mnt_ns net_ns pid_ns_for_children time_ns time_ns_for_children uts_ns",
    ),
    "ns_cgroup": Source("struct cgroup_namespace", "nsproxy.cgroup_ns", "ns.inum"),
    "ns_ipc": Source("struct ipc_namespace", "nsproxy.ipc_ns", "ns.inum"),
    "ns_mnt": Source("struct mnt_namespace", "nsproxy.mnt_ns", "ns.inum"),
    "ns_net": Source("struct net", "nsproxy.net_ns", "ns.inum"),
    "ns_pid": Source("struct pid_namespace", "pid_ns", "ns.inum"),
    "ns_pid_for_children": Source("struct pid_namespace", "nsproxy.pid_ns_for_children", "ns.inum"),
    "ns_time": Source("struct time_namespace", "nsproxy.time_ns", "ns.inum"),
    "ns_time_for_children": Source(
        "struct time_namespace", "nsproxy.time_ns_for_children", "ns.inum"
    ),
    "ns_user": Source("struct user_namespace", "cred.user_ns", "ns.inum"),
    "ns_uts": Source("struct uts_namespace", "nsproxy.uts_ns", "ns.inum"),
}
