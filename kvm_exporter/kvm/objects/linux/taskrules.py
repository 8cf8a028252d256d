"""What would /proc/PID show?  The rule of each field of a Process, as tables (objects/columns.py).

1. RULES are those of a process's row, which shows its first thread, and sums of all; THREAD_RULES
   are what a row of a thread has of its own.
2. Where a kernel is older, or counts otherwise, those of UNLESS replace them.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from kvm_exporter.kvm.objects.columns import Rule, Rules, rule
from kvm_exporter.kvm.objects.linux import taskfill as fill
from kvm_exporter.kvm.objects.linux.tasklist import TASK
from kvm_exporter.kvm.objects.linux.tasksources import SOURCES
from kvm_exporter.kvm.objects.model import Namespaces
from kvm_exporter.kvm.target import Target

_RUN = "utime stime se.sum_exec_runtime"
_TOLD = "prev_cputime.utime prev_cputime.stime"


def _of(source: str, members: str) -> str:
    return " ".join(f"{source}.{member}" for member in members.split())


RULES: Rules = {
    "pid": "task.tgid",
    "address": "task.address",
    "comm": rule(fill.comm, "task.comm task.flags task.worker_private"),
    "state": rule(fill.state, "task.__state task.exit_state"),
    "ppid": "parent.tgid",
    "flags": "task.flags",
    "priority": rule(fill.priority, "task.prio"),
    "nice": rule(fill.nice, "task.static_prio"),
    "last_cpu": "task.thread_info.cpu",
    "tracer": rule(fill.tracer, "task.ptrace tracer.pid"),
    "voluntary_switches": "task.nvcsw",
    "involuntary_switches": "task.nivcsw",
    "threads": "signal.nr_threads",
    "start_seconds": rule(fill.start, "task.start_boottime"),
    "wait_channel": rule(fill.wait_channel, "task.address task.__state task.on_rq task.stack"),
    # credentials
    "ruid": "cred.uid.val",
    "uid": "cred.euid.val",
    "svuid": "cred.suid.val",
    "rgid": "cred.gid.val",
    "gid": "cred.egid.val",
    "svgid": "cred.sgid.val",
    "groups": rule(fill.groups, "cred.group_info"),
    # group, session, terminal
    "group": rule(fill.group_pid, "signal.pids"),
    "session": rule(fill.session_pid, "signal.pids"),
    "pgid": rule(fill.number, "group"),
    "sid": rule(fill.number, "session"),
    "tty": rule(fill.device, "signal.tty driver.major driver.minor_start tty.index"),
    "tpgid": rule(fill.positive_number, "tty.ctrl.pgrp"),
    # times and counts
    "times": rule(
        fill.process_times,
        f"{_of('threads', _RUN)} {_of('signal', 'utime stime sum_sched_runtime')} "
        f"{_of('signal', _TOLD)}",
    ),
    "user_seconds": rule(fill.user, "times"),
    "system_seconds": rule(fill.system, "times"),
    "children_user_seconds": rule(fill.of_ticks, "signal.cutime"),
    "children_system_seconds": rule(fill.of_ticks, "signal.cstime"),
    "minor_faults": rule(fill.total, "threads.min_flt signal.min_flt"),
    "major_faults": rule(fill.total, "threads.maj_flt signal.maj_flt"),
    "read_bytes": rule(fill.total, "threads.ioac.read_bytes signal.ioac.read_bytes"),
    "write_bytes": rule(fill.total, "threads.ioac.write_bytes signal.ioac.write_bytes"),
    # memory
    "mm": rule(fill.own_mm, "task.mm task.flags"),
    "counts": rule(fill.page_counts, "mm.rss_stat"),
    "sums": rule(fill.page_sums, "mm.rss_stat"),
    "virtual_bytes": rule(fill.of_pages, "mm.total_vm"),
    "resident_bytes": rule(fill.resident, "counts"),
    "max_resident_bytes": rule(fill.max_resident, "mm sums mm.hiwater_rss"),
    "swap_bytes": rule(fill.swap, "mm sums"),
    "text_bytes": rule(fill.text, "mm mm.start_code mm.end_code mm.exec_vm"),
    "data_bytes": rule(fill.bytes_of_pages, "mm mm.data_vm"),
    "stack_bytes": rule(fill.bytes_of_pages, "mm mm.stack_vm"),
    # the rest
    "open_files": rule(fill.open_files, "files.fdt fdtable.max_fds fdtable.open_fds"),
    "max_open_files": rule(fill.max_open_files, "signal.rlim"),
    "cgroup": rule(fill.cgroup, "task.cgroups task.flags"),
    "pid_ns": rule(fill.pid_namespace, "task.thread_pid"),
}

THREAD_RULES: Rules = {
    "tid": "task.pid",
    "thread_name": RULES["comm"],
    "comm": rule(fill.comm, "leader.comm leader.flags leader.worker_private"),
    "times": rule(fill.thread_times, f"{_of('task', _RUN)} {_of('task', _TOLD)}"),
    "minor_faults": "task.min_flt",
    "major_faults": "task.maj_flt",
    "read_bytes": "task.ioac.read_bytes",
    "write_bytes": "task.ioac.write_bytes",
}

Unless = tuple[tuple[str, str], Rules, Rules]
"""For a kernel that has not this member: rules of processes' rows, and of threads'."""

_PIDS_BY_LINK: Rules = {
    "group": rule(fill.group_link, "leader.pids"),
    "session": rule(fill.session_link, "leader.pids"),
    "own_pid": rule(fill.own_link, "task.pids"),
    "pid_ns": rule(fill.pid_namespace, "own_pid"),
}
_COUNTED = "utime stime"

UNLESS: tuple[Unless, ...] = (
    # until 4.19 a process's pids were its first thread's (2c4704756cab)
    (("struct signal_struct", "pids"), _PIDS_BY_LINK, _PIDS_BY_LINK),
    # CONFIG_VIRT_CPU_ACCOUNTING_NATIVE: each mode was measured
    (
        ("struct signal_struct", "prev_cputime.utime"),
        {
            "times": rule(
                fill.process_counted, f"{_of('threads', _COUNTED)} {_of('signal', _COUNTED)}"
            )
        },
        {"times": rule(fill.thread_counted, _of("task", _COUNTED))},
    ),
)


def rules(target: Target, *, threads: bool) -> Rules:
    """Those of this kernel, of rows of processes or of ``threads``."""
    own: dict[str, str | Rule] = {
        **RULES,
        **(THREAD_RULES if threads else {}),
        **_namespaces(target),
    }
    for (struct, member), processes, of_threads in UNLESS:
        if not target.has(struct, member):
            own |= of_threads if threads else processes
    if not target.has(TASK, "thread_info.cpu") and not target.has(TASK, "cpu"):
        own |= {"last_cpu": "stack.cpu"}  # thread_info lies where the stack ends
    return own


def needed(own: Rules, fields: Collection[str]) -> frozenset[str]:
    """Every column that those of the fields are worked out from, these included."""
    found: set[str] = set()
    waiting = list(fields)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        waiting += _parents(own, name)
    return frozenset(found)


def _parents(own: Rules, name: str) -> Collection[str]:
    known = own.get(name)
    if known is not None:
        return known.columns if isinstance(known, Rule) else (known,)
    source = SOURCES.get(name.partition(".")[0])
    if source:
        return (source.pointer,)
    # the sum of a process with one thread is that one's own
    return (name.replace("threads.", "task."),) if name.startswith("threads.") else ()


def _namespaces(target: Target) -> Rules:
    """The rule of the namespaces that this kernel has; none where it has none."""
    names = [name for name in Namespaces._fields if _has_namespace(target, name)]
    columns = tuple(f"ns_{name}.ns.inum" for name in names)
    return {"namespaces": Rule(partial(fill.namespaces, names), columns)} if names else {}


def _has_namespace(target: Target, name: str) -> bool:
    source = SOURCES[f"ns_{name}"]
    start, _, member = source.pointer.partition(".")
    proxied = start != "nsproxy" or target.has("struct nsproxy", member)
    return proxied and target.has(source.struct, source.members)
