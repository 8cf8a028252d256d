"""From which of the kernel's structs is a process told, and how does one come from the other?

``proc`` and ``thread`` are where it begins (objects/sources.py has the rules).  A null pointer
gives zeros and empty texts, as the kernel leaves kinfo_proc where it has nothing to fill in.

The structs: sys/sys/proc.h, ucred.h, jail.h, loginclass.h, tty.h, resourcevar.h, sysent.h,
sys/vm/vm_map.h, sys/fs/devfs/devfs_int.h.
"""

from __future__ import annotations

from collections.abc import Mapping

from kvm_exporter.kvm.objects.sources import Source

RU = (
    "ru_maxrss",
    "ru_minflt",
    "ru_majflt",
    "ru_nswap",
    "ru_inblock",
    "ru_oublock",
    "ru_msgsnd",
    "ru_msgrcv",
    "ru_nsignals",
    "ru_nvcsw",
    "ru_nivcsw",
)
"""Members of struct rusage (sys/sys/resource.h) that are kept up to date."""

TICKS = ("rux_uticks", "rux_sticks", "rux_iticks", "rux_uu", "rux_su", "rux_tu")
RUX = ("rux_runtime", *TICKS)
"""Members of struct rusage_ext (sys/sys/proc.h)."""

_PROC = (
    "p_pid p_state p_flag p_comm[] p_nice p_fibnum p_numthreads p_oppid p_pptr p_xexit p_xsig "
    "p_ucred p_pgrp p_vmspace p_stats p_sysent p_threads.tqh_first"
)
_THREAD = (
    "td_proc td_plist.tqe_next td_tid td_name[] td_state td_inhibitors td_flags td_wchan td_wmesg "
    "td_lockname td_priority td_pri_class td_oncpu td_lastcpu td_slptick td_kstack_pages td_cow "
    "td_incruntime td_uticks td_sticks td_iticks"
)

PROC = (
    *_PROC.split(),
    *(f"p_ru.{name}" for name in RU),
    *(f"p_rux.{name}" for name in RUX),
    *(f"p_crux.{name}" for name in RUX),
)
THREAD = (
    *_THREAD.split(),
    *(f"td_ru.{name}" for name in RU),
    *(f"td_rux.{name}" for name in RUX),
)


SOURCES: Mapping[str, Source] = {
    "cred": Source(
        "struct ucred",
        "proc.p_ucred",
        "cr_uid cr_ruid cr_svuid cr_gid cr_rgid cr_svgid cr_ngroups cr_groups cr_prison "
        "cr_loginclass",
    ),
    "prison": Source("struct prison", "cred.cr_prison", "pr_id"),
    "loginclass": Source("struct loginclass", "cred.cr_loginclass", "lc_name[]"),
    "parent": Source("struct proc", "proc.p_pptr", "p_pid"),
    "pgrp": Source("struct pgrp", "proc.p_pgrp", "pg_id pg_session"),
    "session": Source("struct session", "pgrp.pg_session", "s_sid s_login[] s_ttyp"),
    "tty": Source("struct tty", "session.s_ttyp", "t_dev t_pgrp t_session"),
    "device": Source("struct cdev_priv", "tty.t_dev", "cdp_inode", inside="cdp_c"),
    "foreground": Source("struct pgrp", "tty.t_pgrp", "pg_id"),
    "ttysession": Source("struct session", "tty.t_session", "s_sid"),
    "space": Source(
        "struct vmspace",
        "proc.p_vmspace",
        "vm_map.size vm_tsize vm_dsize vm_ssize vm_pmap.pm_stats.resident_count",
    ),
    "stats": Source("struct pstats", "proc.p_stats", "p_start.tv_sec p_start.tv_usec"),
    "sysent": Source("struct sysentvec", "proc.p_sysent", "sv_name"),
}
