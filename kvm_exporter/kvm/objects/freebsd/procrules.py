"""What would the kernel fill into struct kinfo_proc?  The rule of each member, as tables.

1. A rule is another column's name, or a function of procfill.py with the columns that it needs:
   ``proc.p_flag`` is a member of a source (procsources.py), a name without a dot another rule's.
   ``threads.td_cow`` holds a tuple in each row: one value for each thread of the process.
2. RULES are those of a process's row, which shows its first thread; THREAD_RULES are what a row of
   a thread has of its own (fill_kinfo_thread's preferthread, sys/kern/kern_proc.c).
"""

from __future__ import annotations

from collections.abc import Mapping

from kvm_exporter.kvm.objects.columns import Rule, rule
from kvm_exporter.kvm.objects.freebsd import procfill as fill
from kvm_exporter.kvm.objects.freebsd.procsources import RU, TICKS


def _split(member: str, column: str) -> dict[str, Rule]:
    """A struct timeval, from a column of microseconds."""
    return {
        f"{member}.tv_sec": rule(fill.seconds, column),
        f"{member}.tv_usec": rule(fill.microseconds, column),
    }


def _user_and_system(member: str, column: str) -> dict[str, Rule]:
    """ru_utime and ru_stime of a struct rusage, from a column of pairs."""
    return {
        f"{column}_user": rule(fill.user, column),
        f"{column}_system": rule(fill.system, column),
        **_split(f"{member}.ru_utime", f"{column}_user"),
        **_split(f"{member}.ru_stime", f"{column}_system"),
    }


def _counts(usage: str) -> str:
    """A struct rusage_ext's, but for the running time."""
    return " ".join(f"{usage}.{name}" for name in TICKS)


RULES: Mapping[str, str | Rule] = {
    "ki_paddr": "proc.address",
    "ki_pid": "proc.p_pid",
    "ki_comm": "proc.p_comm",
    "ki_nice": "proc.p_nice",
    "ki_fibnum": "proc.p_fibnum",
    "ki_numthreads": "proc.p_numthreads",
    "ki_flag": rule(fill.flag, "proc.p_flag prison.pr_id"),
    "ki_ppid": rule(fill.parent, "proc.p_pptr proc.p_oppid parent.p_pid"),
    "ki_tracer": rule(fill.tracer, "proc.p_flag parent.p_pid"),
    "ki_xstat": rule(fill.exit_code, "proc.p_xexit proc.p_xsig"),
    "ki_emul": rule(fill.emulation, "sysent.sv_name"),
    # credentials
    "ki_uid": "cred.cr_uid",
    "ki_ruid": "cred.cr_ruid",
    "ki_svuid": "cred.cr_svuid",
    "ki_rgid": "cred.cr_rgid",
    "ki_svgid": "cred.cr_svgid",
    "effective_gid": "cred.cr_gid",
    "ki_groups": rule(fill.groups, "cred.cr_gid cred.cr_groups cred.cr_ngroups"),
    "ki_ngroups": rule(fill.group_count, "cred.cr_ngroups"),
    "ki_jid": "prison.pr_id",
    "ki_loginclass": rule(fill.login_class, "loginclass.lc_name"),
    # group, session, terminal
    "ki_pgid": "pgrp.pg_id",
    "ki_sid": "session.s_sid",
    "ki_login": rule(fill.login, "session.s_login"),
    "ki_tdev": rule(fill.device, "proc.p_flag session.s_ttyp tty.t_dev device.cdp_inode"),
    "ki_tpgid": rule(fill.foreground, "tty.t_pgrp foreground.pg_id"),
    "ki_tsid": "ttysession.s_sid",
    # memory
    "ki_size": rule(fill.of_living, "proc.p_state space.vm_map.size"),
    "ki_rssize": rule(
        fill.resident,
        "proc.p_state proc.p_vmspace space.vm_pmap.pm_stats.resident_count "
        "threads.td_kstack_pages threads.td_inhibitors",
    ),
    "ki_tsize": rule(fill.of_living, "proc.p_state space.vm_tsize"),
    "ki_dsize": rule(fill.of_living, "proc.p_state space.vm_dsize"),
    "ki_ssize": rule(fill.of_living, "proc.p_state space.vm_ssize"),
    # times
    "start": rule(fill.start, "stats.p_start.tv_sec stats.p_start.tv_usec"),
    **_split("ki_start", "start"),
    "ki_runtime": rule(fill.run_time, "proc.p_rux.rux_runtime threads.td_incruntime"),
    "times": rule(
        fill.times,
        f"ki_runtime {_counts('proc.p_rux')} threads.td_uticks threads.td_sticks threads.td_iticks",
    ),
    **_user_and_system("ki_rusage", "times"),
    "child_run_time": rule(fill.run_time_of_children, "proc.p_crux.rux_runtime"),
    "child_times": rule(fill.times_of_children, f"child_run_time {_counts('proc.p_crux')}"),
    **_user_and_system("ki_rusage_ch", "child_times"),
    "ki_pctcpu": rule(fill.shares, "threads.address threads.td_state"),
    # counters
    **{
        f"ki_rusage.{name}": rule(fill.total, f"proc.p_ru.{name} threads.td_ru.{name}")
        for name in RU
    },
    "ki_rusage.ru_maxrss": rule(fill.most, "proc.p_ru.ru_maxrss threads.td_ru.ru_maxrss"),
    "ki_cow": rule(fill.sum_of_threads, "threads.td_cow"),
    # the first thread, or the row's
    "ki_stat": rule(fill.state, "proc.p_state proc.p_flag thread.td_state thread.td_inhibitors"),
    "ki_wchan": "thread.td_wchan",
    "ki_wmesg": rule(fill.wait_message, "thread.td_wmesg"),
    "ki_lockname": rule(fill.lock_name, "thread.td_inhibitors thread.td_lockname"),
    "ki_tid": "thread.td_tid",
    "ki_tdname": "thread.td_name",
    "ki_moretdname": rule(fill.no_more_name, "thread.td_name"),
    "ki_tdflags": "thread.td_flags",
    "ki_pri.pri_level": "thread.td_priority",
    "ki_pri.pri_class": "thread.td_pri_class",
    "ki_oncpu": "thread.td_oncpu",
    "ki_lastcpu": "thread.td_lastcpu",
    "ki_slptime": rule(fill.sleep, "thread.td_slptick"),
}

BEFORE_15: Mapping[str, str | Rule] = {
    # cr_groups[0] was the effective group; cr_gid a macro for it
    "ki_groups": rule(fill.groups_before_15, "cred.cr_groups cred.cr_ngroups"),
    "ki_ngroups": rule(fill.group_count_before_15, "cred.cr_ngroups"),
    "effective_gid": rule(fill.first_group, "ki_groups"),
}
"""For a struct ucred without cr_gid."""

THREAD_RULES: Mapping[str, str | Rule] = {
    "ki_runtime": rule(fill.run_time_of_thread, "thread.td_rux.rux_runtime thread.td_incruntime"),
    "times": rule(
        fill.times_of_thread,
        f"ki_runtime {_counts('thread.td_rux')} thread.td_uticks thread.td_sticks thread.td_iticks",
    ),
    "ki_pctcpu": rule(fill.share, "thread.address thread.td_state"),
    "ki_cow": "thread.td_cow",
    **{f"ki_rusage.{name}": f"thread.td_ru.{name}" for name in RU},
}
