"""From which of the kernel's structs is a process told, and how does one come from the other?

1. A source is a struct that a pointer in another source leads to; ``proc`` and ``thread`` are where
   it begins.  Its columns are named ``cred.cr_uid``.
2. A null pointer gives zeros and empty texts, as the kernel leaves kinfo_proc where it has nothing
   to fill in.  What cannot be read is None.
3. Credentials, groups, sessions and the like are shared: each address is read but once.

The structs: sys/sys/proc.h, ucred.h, jail.h, loginclass.h, tty.h, resourcevar.h, sysent.h,
sys/vm/vm_map.h, sys/fs/devfs/devfs_int.h.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.objects.freebsd.structs import Row, Struct
from kvm_exporter.kvm.target import Target

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


class Source(NamedTuple):
    """``members`` of the structs that ``pointer``, a column, leads to; at ``inside`` of them."""

    struct: str
    pointer: str
    members: str
    inside: str = ""


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


class Shared:
    """A source's structs by address, each read once."""

    def __init__(self, target: Target, source: Source) -> None:
        self._struct = Struct(target, source.struct, source.members.split())
        self._inside = target.offset(source.struct, source.inside) if source.inside else 0
        self._mask = target.abi.address_mask
        self._known: dict[int, Row | None] = {0: self._struct.nothing}
        self.names = self._struct.names

    def rows(self, pointers: Sequence[int | None]) -> list[Row | None]:
        """The row that each pointer leads to; None for one that is not known, or leads nowhere."""
        return [None if one is None else self._at(one) for one in pointers]

    def _at(self, pointer: int) -> Row | None:
        known = self._known
        if pointer not in known:
            known[pointer] = self._struct.at(pointer - self._inside & self._mask)
        return known[pointer]


def open_sources(target: Target) -> Mapping[str, Shared]:
    """Readers of every source whose struct this kernel's types tell."""
    found = {}
    for name, source in SOURCES.items():
        try:
            found[name] = Shared(target, source)
        except KvmError:
            target.tally.add(source.struct, None)
    return found
