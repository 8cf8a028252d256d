"""How does the kernel work out what it fills into struct kinfo_proc?  A function a number.

They are those of fill_kinfo_proc_only, fill_kinfo_proc_pgrp, fill_kinfo_thread and
fill_kinfo_aggregate (sys/kern/kern_proc.c), as the host's root would see it.  Each gets the
Machine, and what the columns of its row in procrules.py hold; a tuple is of all threads.
"""

from __future__ import annotations

from itertools import compress

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.objects.freebsd.calcru import Usage, user_and_system
from kvm_exporter.kvm.objects.freebsd.clock import MICRO, Clock, read_clock
from kvm_exporter.kvm.objects.freebsd.kinfo import (
    NO_PID,
    NODEV,
    SIDL,
    SLOCK,
    SRUN,
    SSLEEP,
    SSTOP,
    SWAIT,
    SZOMB,
)
from kvm_exporter.kvm.objects.freebsd.pctcpu import Share, read_share
from kvm_exporter.kvm.target import Target

PRS_NEW, PRS_NORMAL, PRS_ZOMBIE = range(3)
TDS_INHIBITED = 1
TDI_SLEEPING, TDI_SWAPPED, TDI_LOCK = 0x2, 0x4, 0x8
P_CONTROLT, P_TRACED, P_JAILED = 0x2, 0x800, 0x0100_0000
P_STOPPED = 0x20000 | 0x40000 | 0x80000
"""sys/sys/proc.h"""

KI_NGROUPS = 16
WMESGLEN, LOCKNAMELEN, EMULLEN, LOGNAMELEN, LOGINCLASSLEN = 8, 8, 16, 17, 17
"""sys/sys/user.h"""

LONGEST = 32
"""Bytes read of a text: more than is kept of any."""

_UNSIGNED = 0xFFFF_FFFF


class Machine:
    """What the rules need beside their columns: the clock, texts and lists by their address."""

    def __init__(self, target: Target) -> None:
        self.clock: Clock = read_clock(target)
        self._target = target
        self._texts: dict[int, bytes | None] = {0: b""}
        self._groups: dict[tuple[int, int], bytes | None] = {}
        self.share: Share | None = None
        try:
            self.share = read_share(target, self.clock)
        except KvmError:
            target.tally.add("struct td_sched", None)

    def text(self, address: int, length: int) -> bytes | None:
        """The first bytes of a C string; None, and counted, if it has no page."""
        if address not in self._texts:
            self._texts[address] = self._read(address, LONGEST, "text")
        text = self._texts[address]
        return text and text[:length]

    def groups(self, address: int, count: int) -> bytes | None:
        """An array of gid_t, as its bytes; None, and counted, where it is not whole."""
        known = self._groups
        if (address, count) not in known:
            data = self._read(address, 4 * count, "struct ucred") if count > 0 else b""
            known[address, count] = data if data is None or len(data) >= 4 * count else None
        return known[address, count]

    def pack_gid(self, gid: int) -> bytes:
        """A gid_t as it lies in memory."""
        return (gid & _UNSIGNED).to_bytes(4, self._target.abi.byteorder)

    def unpack_gid(self, raw: bytes) -> int:
        """The other way round."""
        return int.from_bytes(raw, self._target.abi.byteorder)

    def _read(self, address: int, length: int, what: str) -> bytes | None:
        try:
            return self._target.memory.read(address, length)
        except KvmError:
            self._target.tally.add(what, None)
            return None


# the process itself


def flag(_: Machine, flag: int, prison: int) -> int:
    """ki_flag: with P_JAILED, which is no flag of the process itself any more."""
    return flag | P_JAILED if prison else flag


def parent(_: Machine, parent: int, original: int, pid: int) -> int:
    """ki_ppid: the real parent, whoever traces the process."""
    # until 12 p_oppid was that of traced processes only (the real parent's)
    return (original or pid) if parent else 0


def tracer(_: Machine, flag: int, parent: int) -> int:
    """ki_tracer: whom a traced process was given to."""
    return parent if flag & P_TRACED else 0


def exit_code(_: Machine, code: int, signal: int) -> int:
    """ki_xstat, as KW_EXITCODE() makes it."""
    return (code & 0xFF) << 8 | signal & 0xFF


def emulation(machine: Machine, name: int) -> bytes | None:
    """ki_emul."""
    return machine.text(name, EMULLEN)


def login(_: Machine, name: bytes) -> bytes:
    """ki_login."""
    return name[:LOGNAMELEN]


def login_class(_: Machine, name: bytes) -> bytes:
    """ki_loginclass."""
    return name[:LOGINCLASSLEN]


# credentials


def groups(machine: Machine, gid: int, groups: int, count: int) -> bytes | None:
    """ki_groups: the effective one, then the others."""
    more = machine.groups(groups, min(count, KI_NGROUPS - 1))
    return None if more is None else machine.pack_gid(gid) + more


def group_count(_: Machine, count: int) -> int:
    """ki_ngroups."""
    return max(min(1 + count, KI_NGROUPS), 1)


def groups_before_15(machine: Machine, groups: int, count: int) -> bytes | None:
    """ki_groups, where the effective one is the first of them."""
    return machine.groups(groups, min(count, KI_NGROUPS))


def group_count_before_15(_: Machine, count: int) -> int:
    """ki_ngroups, where the effective one is counted."""
    return min(count, KI_NGROUPS)


def first_group(machine: Machine, groups: bytes) -> int | None:
    """The effective group of kernels that keep it there."""
    return machine.unpack_gid(groups[:4]) if groups else None


# its terminal


def device(_: Machine, flag: int, terminal: int, device: int, inode: int) -> int:
    """ki_tdev, as tty_udev() finds it."""
    return inode if flag & P_CONTROLT and terminal and device else NODEV


def foreground(_: Machine, group: int, number: int) -> int:
    """ki_tpgid."""
    return number if group else NO_PID


# its memory


def of_living(_: Machine, state: int, value: int) -> int:
    """A size in pages or bytes: nothing of a process that is being made, or dead."""
    return value if state == PRS_NORMAL else 0


def resident(
    _: Machine,
    state: int,
    space: int,
    pages: int,
    stacks: tuple[int, ...],
    inhibitors: tuple[int, ...],
) -> int:
    """ki_rssize, in pages: kernel stacks count, unless they are swapped out (before 15)."""
    if state != PRS_NORMAL or not space:
        return 0
    return pages + sum(compress(stacks, (not one & TDI_SWAPPED for one in inhibitors)))


# times


def start(machine: Machine, seconds: int, microseconds: int) -> int | None:
    """ki_start, in microseconds of Unix time."""
    boot = machine.clock.boot
    return None if boot is None else boot + seconds * MICRO + microseconds


def seconds(_: Machine, microseconds: int) -> int:
    """tv_sec."""
    return microseconds // MICRO


def microseconds(_: Machine, microseconds: int) -> int:
    """tv_usec."""
    return microseconds % MICRO


def run_time(machine: Machine, ticks: int, more: tuple[int, ...]) -> int | None:
    """ki_runtime, in microseconds; what threads have run and not handed over yet counts."""
    return machine.clock.microseconds((ticks + sum(more)) % (1 << 64))


def run_time_of_thread(machine: Machine, ticks: int, more: int) -> int | None:
    """ki_runtime of a thread."""
    return machine.clock.microseconds((ticks + more) % (1 << 64))


def run_time_of_children(machine: Machine, ticks: int) -> int | None:
    """That of children that were waited for."""
    return machine.clock.microseconds(ticks)


def times(  # noqa: PLR0913, PLR0917 - struct rusage_ext, and three counts of each thread
    _: Machine,
    total: int,
    user: int,
    system: int,
    interrupt: int,
    told_user: int,
    told_system: int,
    told_total: int,
    more_user: tuple[int, ...],
    more_system: tuple[int, ...],
    more_interrupt: tuple[int, ...],
) -> tuple[int, int]:
    """Microseconds in user and in system mode."""
    ticks = (user + sum(more_user), system + sum(more_system), interrupt + sum(more_interrupt))
    return user_and_system(total, Usage(*ticks, told_user, told_system, told_total))


def times_of_thread(_: Machine, total: int, *counts: int) -> tuple[int, int]:
    """Those of a thread."""
    user, system, interrupt, *told, more_user, more_system, more_interrupt = counts
    ticks = (user + more_user, system + more_system, interrupt + more_interrupt)
    return user_and_system(total, Usage(*ticks, *told))


def times_of_children(_: Machine, total: int, *counts: int) -> tuple[int, int]:
    """Those of children that were waited for."""
    return user_and_system(total, Usage(*counts))


def user(_: Machine, times: tuple[int, int]) -> int:
    """The first of a pair."""
    return times[0]


def system(_: Machine, times: tuple[int, int]) -> int:
    """The second."""
    return times[1]


def total(_: Machine, value: int, more: tuple[int, ...]) -> int:
    """A count of struct rusage: that of threads that have ended, and of those that are there."""
    return value + sum(more)


def most(_: Machine, value: int, more: tuple[int, ...]) -> int:
    """ru_maxrss."""
    return max((value, *more))


def sum_of_threads(_: Machine, values: tuple[int, ...]) -> int:
    """A count that only threads have."""
    return sum(values) & _UNSIGNED


# threads


def state(_: Machine, process: int, flag: int, thread: int, inhibitors: int) -> int:
    """ki_stat."""
    if process != PRS_NORMAL:
        return SZOMB if process == PRS_ZOMBIE else SIDL
    if thread > TDS_INHIBITED:
        return SRUN
    if flag & P_STOPPED:
        return SSTOP
    if inhibitors & TDI_SLEEPING:
        return SSLEEP
    return SLOCK if inhibitors & TDI_LOCK else SWAIT


def wait_message(machine: Machine, name: int) -> bytes | None:
    """ki_wmesg."""
    return machine.text(name, WMESGLEN)


def lock_name(machine: Machine, inhibitors: int, name: int) -> bytes | None:
    """ki_lockname."""
    return machine.text(name, LOCKNAMELEN) if inhibitors & TDI_LOCK else b""


def no_more_name(_: Machine, __: bytes) -> bytes:
    """ki_moretdname: nothing, as ki_tdname is td_name whole."""
    return b""


def sleep(machine: Machine, tick: int) -> int | None:
    """ki_slptime, in seconds."""
    return machine.clock.seconds_since(tick)


def share(machine: Machine, address: int, state: int) -> int | None:
    """ki_pctcpu of a thread."""
    return machine.share(address, state) if machine.share else None


def shares(machine: Machine, addresses: tuple[int, ...], states: tuple[int, ...]) -> int | None:
    """ki_pctcpu."""
    shares = [share(machine, *one) for one in zip(addresses, states, strict=True)]
    known = [share for share in shares if share is not None]
    return sum(known) & _UNSIGNED if len(known) == len(shares) else None
