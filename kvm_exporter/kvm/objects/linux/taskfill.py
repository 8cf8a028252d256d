"""How does the kernel work out what /proc/PID shows?  A function a number.

They are those of fs/proc/array.c, fs/proc/task_mmu.c and fs/proc/fd.c, as the host's root would see
them.  Each gets the Machine, and what the columns of its row in taskrules.py hold.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeVar

from kvm_exporter.kvm.errors import FormatError, KvmError
from kvm_exporter.kvm.objects.linux.cgroups import Cgroups
from kvm_exporter.kvm.objects.linux.columns import STATES
from kvm_exporter.kvm.objects.linux.pids import Pids
from kvm_exporter.kvm.objects.linux.rss import Pages, RssCounters
from kvm_exporter.kvm.objects.linux.tasknames import PF_KTHREAD, TaskNames
from kvm_exporter.kvm.objects.linux.tasktime import Times, adjusted
from kvm_exporter.kvm.objects.linux.ticks import seconds
from kvm_exporter.kvm.objects.linux.wchan import WaitChannels
from kvm_exporter.kvm.objects.model import Namespaces
from kvm_exporter.kvm.target import Target

UNINTERRUPTIBLE, REPORTED, REPORTED_IDLE = 0x2, 0x7F, 0x80
IDLE, RTLOCK_WAIT, FROZEN = 0x402, 0x1000, 0x8000
"""include/linux/sched.h: TASK_*; REPORTED is TASK_REPORT (since 4.14), RTLOCK_WAIT of 5.15, FROZEN
of 6.1."""

LETTERS = b"RSDTtXZPI"
"""task_state_array of fs/proc/array.c."""

MAX_RT_PRIO, DEFAULT_PRIO = 100, 120
RLIMIT_NOFILE = 7
"""include/linux/sched/prio.h, include/uapi/asm-generic/resource.h"""

MOST_GROUPS = 1 << 16
MOST_FILES = 1 << 30
"""NGROUPS_MAX (include/uapi/linux/limits.h); sysctl_nr_open_max (fs/file.c)."""

AT_ONCE = 1 << 16
"""Bytes of a bitmap that are read together."""

Part = TypeVar("Part")


class Machine:
    """What the rules need beside their columns; each part is made when it is first asked for.

    ``boot`` is the time of boot, None unknown.
    """

    def __init__(self, target: Target, page_size: int, boot: float | None) -> None:
        self.page_size = page_size
        self.boot = boot
        self._target = target
        self._abi = target.abi
        self._size = target.abi.pointer_size
        self.mask = target.abi.address_mask
        self._groups: dict[int, tuple[int, ...] | None] = {0: ()}
        self._files: dict[tuple[int, int], int | None] = {}

    @cached_property
    def pids(self) -> Pids | None:
        """Its numbers of processes."""
        return self._part(Pids, "struct pid")

    @cached_property
    def names(self) -> TaskNames:
        """Its threads' names."""
        return TaskNames(self._target)

    @cached_property
    def rss(self) -> RssCounters | None:
        """Its counters of pages."""
        return self._part(RssCounters, "struct mm_struct")

    @cached_property
    def cgroups(self) -> Cgroups | None:
        """Its control groups."""
        return self._part(Cgroups, "struct css_set")

    @cached_property
    def channels(self) -> WaitChannels | None:
        """Where its tasks sleep."""
        return self._part(WaitChannels, "kernel stack")

    def _part(self, part: Callable[[Target], Part], source: str) -> Part | None:
        """None, and counted, where this kernel does not tell enough for it."""
        try:
            return part(self._target)
        except KvmError:
            self._target.tally.add(source, None)
            return None

    def word(self, raw: bytes, at: int) -> int | None:
        """An element of an array of pointers, or of unsigned long; None past its end."""
        words = memoryview(raw)[at * self._size : (at + 1) * self._size]
        whole = at >= 0 and len(words) == self._size
        return int.from_bytes(words, self._abi.byteorder) if whole else None

    def link(self, raw: bytes, at: int) -> int | None:
        """The struct pid of an element of an array of struct pid_link: behind its list's two."""
        return self.word(raw, 3 * at + 2)

    def page_sums(self, raw: bytes) -> Pages | None:
        """From mm->rss_stat; None, and counted, where the CPUs' shares cannot be read."""
        try:
            return self.rss.sums(raw) if self.rss else None
        except KvmError:
            self._target.tally.add("struct percpu_counter", None)
            return None

    def groups(self, address: int) -> tuple[int, ...] | None:
        """What a struct group_info holds; None, and counted, where that cannot be read."""
        if address not in self._groups:
            try:
                self._groups[address] = self._read_groups(address)
            except KvmError:
                self._target.tally.add("struct group_info", None)
                self._groups[address] = None
        return self._groups[address]

    def _read_groups(self, address: int) -> tuple[int, ...]:
        target = self._target
        count = target.integer(address + target.offset("struct group_info", "ngroups"), 4)
        if count > MOST_GROUPS:
            raise FormatError(f"struct group_info at {address:#x} has {count} groups")
        raw = target.read(address + target.offset("struct group_info", "gid"), 4 * count)
        return struct.unpack(f"{self._abi.order}{count}I", raw)

    def open_files(self, count: int, bitmap: int) -> int | None:
        """How many of ``count`` bits are set; None, and counted, where they cannot be read."""
        key = count, bitmap
        if key not in self._files:
            try:
                self._files[key] = self._count_bits(count, bitmap)
            except KvmError:
                self._target.tally.add("struct fdtable", None)
                self._files[key] = None
        return self._files[key]

    def _count_bits(self, count: int, bitmap: int) -> int:
        if count > MOST_FILES:
            raise FormatError(f"a table of {count} descriptors at {bitmap:#x}")
        found = 0
        for at in range(0, count // 8, AT_ONCE):
            raw = self._target.read(bitmap + at, min(AT_ONCE, count // 8 - at))
            found += int.from_bytes(raw, "little").bit_count()
        return found


# the thread itself


def comm(machine: Machine, comm: bytes, flags: int, kthread: int) -> str:
    """comm, as proc_task_name() has it."""
    return machine.names.of(comm, flags, kthread)


def state(_: Machine, state: int, exit_state: int) -> str | None:
    """task_state_index()"""
    shown = (state | exit_state) & REPORTED
    if state & IDLE == IDLE:
        shown = REPORTED_IDLE
    if state & (RTLOCK_WAIT | FROZEN):
        shown = UNINTERRUPTIBLE
    return STATES.get(LETTERS[shown.bit_length() :][:1])


def priority(_: Machine, prio: int) -> int:
    """task_prio()"""
    return prio - MAX_RT_PRIO


def nice(_: Machine, static: int) -> int:
    """task_nice()"""
    return static - DEFAULT_PRIO


def tracer(_: Machine, ptrace: int, parent: int) -> int:
    """Who traces it, 0 for nobody."""
    return parent if ptrace else 0


def start(machine: Machine, since_boot: int) -> float | None:
    """Unix time."""
    return None if machine.boot is None else machine.boot + seconds(since_boot)


def groups(machine: Machine, info: int) -> tuple[int, ...] | None:
    """The supplementary groups."""
    return machine.groups(info)


def wait_channel(machine: Machine, task: int, state: int, on_queue: int, stack: int) -> str | None:
    """The function that it sleeps in."""
    return machine.channels.of(task, state, on_queue, stack) if machine.channels else None


def cgroup(machine: Machine, css_set: int, flags: int) -> str | None:
    """The path of the control group."""
    return machine.cgroups.path(css_set, flags) if machine.cgroups else None


# process group, session, terminal


def group_pid(machine: Machine, pids: bytes) -> int | None:
    """The struct pid of its group, of signal->pids."""
    return machine.word(pids, machine.pids.group) if machine.pids else None


def session_pid(machine: Machine, pids: bytes) -> int | None:
    """The struct pid of its session."""
    return machine.word(pids, machine.pids.session) if machine.pids else None


def number(machine: Machine, pid: int) -> int | None:
    """What a struct pid is in the first namespace."""
    return machine.pids.number(pid) if machine.pids else None


def positive_number(machine: Machine, pid: int) -> int | None:
    """The same; None for a null pointer."""
    return number(machine, pid) or None


def device(_: Machine, tty: int, major: int, first: int, index: int) -> int | None:
    """new_encode_dev() of tty_devnum(); None without a terminal."""
    minor = first + index
    return (minor & 0xFF | major << 8 | (minor & 0xFFF00) << 12 if tty else 0) or None


# times and counts


def thread_times(
    _: Machine, user: int, system: int, run: int, told_user: int, told_system: int
) -> Times:
    """task_cputime_adjusted()"""
    return adjusted(Times(user, system), run, Times(told_user, told_system))


def process_times(_: Machine, user: int, system: int, run: int, *rest: int) -> Times:
    """thread_group_cputime_adjusted(): the threads that live, and all that ended."""
    ended_user, ended_system, ended_run, told_user, told_system = rest
    counted = Times(user + ended_user, system + ended_system)
    return adjusted(counted, run + ended_run, Times(told_user, told_system))


def process_counted(_: Machine, user: int, system: int, ended_user: int, ended: int) -> Times:
    """As process_times, of a kernel that measures each mode."""
    return Times(user + ended_user, system + ended)


def thread_counted(_: Machine, user: int, system: int) -> Times:
    """As thread_times, of a kernel that measures each mode."""
    return Times(user, system)


def user(_: Machine, times: Times) -> float:
    """Seconds in user mode."""
    return seconds(times.user)


def system(_: Machine, times: Times) -> float:
    """Seconds in system mode."""
    return seconds(times.system)


def of_ticks(_: Machine, nanoseconds: int) -> float:
    """Seconds."""
    return seconds(nanoseconds)


def total(_: Machine, living: int, ended: int) -> int:
    """Of the threads that live, and of all that ended."""
    return living + ended


# memory


def own_mm(_: Machine, mm: int, flags: int) -> int:
    """The struct mm_struct, 0 for none: get_task_mm()."""
    return 0 if flags & PF_KTHREAD else mm


def page_counts(machine: Machine, raw: bytes) -> Pages | None:
    """Its pages, by what they are, as stat tells them; none of a null pointer."""
    return machine.rss.counts(raw) if machine.rss else None


def page_sums(machine: Machine, raw: bytes) -> Pages | None:
    """Its pages, by what they are, as status tells them."""
    return machine.page_sums(raw)


def of_pages(machine: Machine, count: int) -> int:
    """Bytes."""
    return count * machine.page_size


def bytes_of_pages(machine: Machine, mm: int, count: int) -> int | None:
    """Bytes; None for a thread that has no memory of its own."""
    return count * machine.page_size if mm else None


def resident(machine: Machine, pages: Pages) -> int:
    """get_mm_rss()"""
    return pages.resident * machine.page_size


def max_resident(machine: Machine, mm: int, pages: Pages, most: int) -> int | None:
    """VmHWM: the kernel notes it only as it falls."""
    return max(pages.resident, most) * machine.page_size if mm else None


def swap(machine: Machine, mm: int, pages: Pages) -> int | None:
    """VmSwap"""
    return pages.swapped * machine.page_size if mm else None


def text(machine: Machine, mm: int, start: int, end: int, executable: int) -> int | None:
    """VmExe: the program's own, of all pages that may be executed."""
    size = machine.page_size
    own = (end + size - 1 & -size) - (start & -size)
    return min(own & machine.mask, executable * size) if mm else None


# files, limits, namespaces


def open_files(machine: Machine, table: int, count: int, bitmap: int) -> int | None:
    """How many descriptors are open: none of a zombie."""
    return machine.open_files(count, bitmap) if table else 0


def max_open_files(machine: Machine, limits: bytes) -> int | None:
    """The soft limit of descriptors, None for no limit; signal->rlim has the hard ones between."""
    limit = machine.word(limits, 2 * RLIMIT_NOFILE)
    return None if limit == machine.mask else limit


def pid_namespace(machine: Machine, pid: int) -> int | None:
    """The namespace that it has its own number of: task_active_pid_ns()."""
    return machine.pids.namespace(pid) if machine.pids else None


def namespaces(names: Sequence[str], _: Machine, *inums: int) -> Namespaces:
    """Their numbers; those that a zombie has left are None."""
    return Namespaces(**{name: inum or None for name, inum in zip(names, inums, strict=True)})


# until 4.19


def group_link(machine: Machine, links: bytes) -> int | None:
    """As group_pid, of the first thread's pids: each a struct pid_link."""
    return machine.link(links, machine.pids.group) if machine.pids else None


def session_link(machine: Machine, links: bytes) -> int | None:
    """As session_pid."""
    return machine.link(links, machine.pids.session) if machine.pids else None


def own_link(machine: Machine, links: bytes) -> int | None:
    """A thread's own struct pid."""
    return machine.link(links, 0)
