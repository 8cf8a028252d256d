"""How do FreeBSD's sysctl structs lie in memory, on each of its architectures?

The rows keep the members' order and C types; offsets follow from the C rules of each ABI, so one
table serves all of them.  The figures that follow from it are those of the DWARF of 15.1's
kernels and of its libc headers (tests/kvm/objects/freebsd/test_layouts.py compares every one).

1. A member lies at the next multiple of its alignment, which is its size, but 4 for the eight
   byte integers of i386; a struct's size is rounded up to its widest member's alignment.
2. A nested struct's members are named ``ki_rusage.ru_utime.tv_sec``.
3. Arrays, C strings among them, are members of raw bytes (``ki_comm`` is ``20s``).

``layout`` is a pure function of these tables: caching it is no state.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from kvm_exporter.kvm.errors import TypeMissing, Unsupported
from kvm_exporter.kvm.layout import Layout, Member


@dataclass(frozen=True, slots=True)
class Abi:
    """What differs between architectures: struct codes, the widest alignment, the byte order."""

    order: str
    long: str = "q"
    pointer: str = "Q"
    time: str = "q"
    widest: int = 8


_LP64 = Abi("<")
ABIS = {
    "amd64": _LP64,
    "aarch64": _LP64,
    "riscv64": _LP64,
    "powerpc64le": _LP64,
    "powerpc64": Abi(">"),
    "armv7": Abi("<", long="i", pointer="I"),
    "i386": Abi("<", long="i", pointer="I", time="i", widest=4),
}
"""By hw.machine_arch (sys/*/include/_types.h: long, pointers, time_t)."""

_CODES = {
    "char": "s",
    "schar": "b",
    "uchar": "B",
    "short": "h",
    "ushort": "H",
    "int": "i",
    "uint": "I",
    "int64": "q",
    "uint64": "Q",
}

Row = tuple[str, str]
"""C type, then the names of the members of that type that follow each other."""

STRUCTS: dict[str, tuple[Row, ...]] = {
    # sys/sys/_timeval.h; suseconds_t is a long everywhere
    "timeval": (("time", "tv_sec"), ("long", "tv_usec")),
    # sys/sys/priority.h
    "priority": (("uchar", "pri_class pri_level pri_native pri_user"),),
    # sys/sys/resource.h
    "rusage": (
        ("timeval", "ru_utime ru_stime"),
        ("long", "ru_maxrss ru_ixrss ru_idrss ru_isrss ru_minflt ru_majflt ru_nswap"),
        ("long", "ru_inblock ru_oublock ru_msgsnd ru_msgrcv ru_nsignals ru_nvcsw ru_nivcsw"),
    ),
    # sys/sys/resource.h: ldavg[3], here one by one, as fixed point numbers; fscale is 1.0
    "loadavg": (("uint", "ldavg0 ldavg1 ldavg2"), ("long", "fscale")),
    # sys/sys/time.h
    "clockinfo": (("int", "hz tick spare stathz profhz"),),
    # sys/sys/vmmeter.h
    "vmtotal": (
        ("uint64", "t_vm t_avm t_rm t_arm t_vmshr t_avmshr t_rmshr t_armshr t_free"),
        ("short", "t_rq t_dw t_pw t_sl t_sw"),
        ("ushort", "t_pad[3]"),
    ),
    # sys/vm/vm_param.h, XSWDEV_VERSION 2; counts are pages
    "xswdev": (
        ("uint", "xsw_version"),
        ("uint64", "xsw_dev"),
        ("int", "xsw_flags xsw_nblks xsw_used"),
    ),
    # sys/sys/file.h: a row of kern.file
    "xfile": (
        ("uint64", "xf_size"),
        ("int", "xf_pid"),
        ("uint", "xf_uid"),
        ("int", "xf_fd _xf_int_pad1"),
        ("uint64", "xf_file"),
        ("short", "xf_type _xf_short_pad1"),
        ("int", "xf_count xf_msgcount _xf_int_pad2"),
        ("int64", "xf_offset"),
        ("uint64", "xf_data xf_vnode"),
        ("uint", "xf_flag"),
        ("int", "_xf_int_pad3"),
        ("int64", "_xf_int64_pad[6]"),
    ),
    # sys/sys/mount.h: a row of getfsstat(2), STATFS_VERSION 0x20140518
    "statfs": (
        ("uint", "f_version f_type"),
        ("uint64", "f_flags f_bsize f_iosize f_blocks f_bfree"),
        ("int64", "f_bavail"),
        ("uint64", "f_files"),
        ("int64", "f_ffree"),
        ("uint64", "f_syncwrites f_asyncwrites f_syncreads f_asyncreads"),
        ("uint", "f_nvnodelistsize f_spare0"),
        ("uint64", "f_spare[9]"),
        ("uint", "f_namemax f_owner f_fsid[2]"),
        ("char", "f_charspare[80] f_fstypename[16] f_mntfromname[1024] f_mntonname[1024]"),
    ),
    # sys/net/if.h; the last two are unions, so that they are as wide everywhere
    "if_data": (
        ("uchar", "ifi_type ifi_physical ifi_addrlen ifi_hdrlen ifi_link_state ifi_vhid"),
        ("ushort", "ifi_datalen"),
        ("uint", "ifi_mtu ifi_metric"),
        ("uint64", "ifi_baudrate ifi_ipackets ifi_ierrors ifi_opackets ifi_oerrors"),
        ("uint64", "ifi_collisions ifi_ibytes ifi_obytes ifi_imcasts ifi_omcasts"),
        ("uint64", "ifi_iqdrops ifi_oqdrops ifi_noproto ifi_hwassist"),
        ("uint64", "__ifi_epoch __ifi_lastchange[2]"),
    ),
    # sys/net/if_mib.h: net.link.generic.ifdata.N.general
    "ifmibdata": (
        ("char", "ifmd_name[16]"),
        ("int", "ifmd_pcount ifmd_flags ifmd_snd_len ifmd_snd_maxlen ifmd_snd_drops"),
        ("int", "ifmd_filler[4]"),
        ("if_data", "ifmd_data"),
    ),
    # sys/sys/user.h: a row of kern.proc.filedesc, which leaves off the end of kf_path and says the
    # row's length in kf_structsize.  Of the union kf_un these are a socket's members.
    "kinfo_file": (
        ("int", "kf_structsize kf_type kf_fd kf_ref_count kf_flags kf_pad0"),
        ("int64", "kf_offset"),
        ("int", "kf_vnode_type kf_sock_domain kf_sock_type kf_sock_protocol"),
        ("char", "kf_sa_local[128] kf_sa_peer[128]"),
        ("uint64", "kf_sock_pcb kf_sock_inpcb kf_sock_unpconn"),
        ("ushort", "kf_sock_snd_sb_state kf_sock_rcv_sb_state"),
        ("uint", "kf_sock_recvq"),
        ("ushort", "kf_status kf_pad1"),
        ("int", "_kf_ispare0"),
        ("uint64", "kf_cap_rights[2] _kf_cap_spare"),
        ("char", "kf_path[1024]"),
    ),
    # sys/sys/user.h: a row of kern.proc
    "kinfo_proc": (
        ("int", "ki_structsize ki_layout"),
        ("pointer", "ki_args ki_paddr ki_addr ki_tracep ki_textvp ki_fd ki_vmspace ki_wchan"),
        ("int", "ki_pid ki_ppid ki_pgid ki_tpgid ki_sid ki_tsid"),
        ("short", "ki_jobc ki_spare_short1"),
        ("uint", "ki_tdev_freebsd11"),
        ("uint", "ki_siglist[4] ki_sigmask[4] ki_sigignore[4] ki_sigcatch[4]"),
        ("uint", "ki_uid ki_ruid ki_svuid ki_rgid ki_svgid"),
        ("short", "ki_ngroups ki_spare_short2"),
        ("uint", "ki_groups[16]"),
        ("pointer", "ki_size"),
        ("long", "ki_rssize ki_swrss ki_tsize ki_dsize ki_ssize"),
        ("ushort", "ki_xstat ki_acflag"),
        ("uint", "ki_pctcpu ki_estcpu ki_slptime ki_swtime ki_cow"),
        ("uint64", "ki_runtime"),
        ("timeval", "ki_start ki_childtime"),
        ("long", "ki_flag ki_kiflag"),
        ("int", "ki_traceflag"),
        ("uchar", "ki_stat"),
        ("schar", "ki_nice"),
        ("uchar", "ki_lock ki_rqindex ki_oncpu_old ki_lastcpu_old"),
        ("char", "ki_tdname[17] ki_wmesg[9] ki_login[18] ki_lockname[9] ki_comm[20]"),
        ("char", "ki_emul[17] ki_loginclass[18] ki_moretdname[4] ki_sparestrings[38]"),
        ("int", "ki_spareints[2] ki_reaper ki_reapsubtree"),
        ("uint64", "ki_tdev"),
        ("int", "ki_oncpu ki_lastcpu ki_tracer ki_flag2 ki_fibnum"),
        ("uint", "ki_cr_flags"),
        ("int", "ki_jid ki_numthreads ki_tid"),
        ("priority", "ki_pri"),
        ("rusage", "ki_rusage ki_rusage_ch"),
        ("pointer", "ki_pcb ki_kstack ki_udata ki_tdaddr ki_pd ki_uerrmsg ki_spareptrs[4]"),
        ("long", "ki_sparelongs[12] ki_sflag ki_tdflags"),
    ),
}


@cache
def layout(name: str, machine: str) -> Layout:
    """Where the members of struct ``name`` lie on ``machine`` (hw.machine_arch).

    Errors: Unsupported for an architecture, TypeMissing for a struct, that is not in the tables.
    """
    abi = abi_of(machine)
    if name not in STRUCTS:
        raise TypeMissing(f"struct {name} is not in the tables of FreeBSD's structs")
    members, size, _ = _place(name, abi)
    return Layout(name, size, abi.order, members)


def abi_of(machine: str) -> Abi:
    """The ABI of ``machine`` (hw.machine_arch); Unsupported for one that is not in the tables."""
    if machine not in ABIS:
        raise Unsupported(f"FreeBSD/{machine}: struct layouts are known for {', '.join(ABIS)}")
    return ABIS[machine]


def _place(name: str, abi: Abi) -> tuple[dict[str, Member], int, int]:
    """A struct's members, its size and its alignment (rules 1 to 3)."""
    members: dict[str, Member] = {}
    end, widest = 0, 1
    for kind, member, count in _declarations(name):
        inner, size, alignment = _place(kind, abi) if kind in STRUCTS else _scalar(kind, abi)
        if count is not None:
            size *= count
            inner = {"": Member(0, f"{size}s")}
        at = _round_up(end, alignment)
        for path, part in inner.items():
            members[_join(member, path)] = Member(at + part.offset, part.code)
        end, widest = at + size, max(widest, alignment)
    return members, _round_up(end, widest), widest


def _scalar(kind: str, abi: Abi) -> tuple[dict[str, Member], int, int]:
    code = _CODES.get(kind) or {"long": abi.long, "pointer": abi.pointer, "time": abi.time}[kind]
    size = struct.calcsize(abi.order + code)
    return {"": Member(0, code)}, size, min(size, abi.widest)


def _declarations(name: str) -> Iterator[tuple[str, str, int | None]]:
    """A struct's (type, member, array length or None), in order."""
    for kind, names in STRUCTS[name]:
        for declared in names.split():
            member, _, count = declared.rstrip("]").partition("[")
            yield kind, member, int(count) if count else None


def _join(member: str, path: str) -> str:
    return f"{member}.{path}" if path else member


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
