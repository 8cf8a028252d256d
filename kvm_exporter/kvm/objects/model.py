"""What can a kernel tell?  The values, the same for every kernel, live or dead.

Units are in the names: ``_seconds`` (float; times of day are Unix time), ``_bytes``.
``None`` means unknown: the kernel has no such number, or refused it; it never stands for zero.

Values made by the thousand (Process, OpenFile) are NamedTuples, which Python builds five times
faster than frozen dataclasses; the rest are frozen slotted dataclasses.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class ProcOp(IntEnum):
    """Which processes, as kvm_getprocs(3) names the choice (sys/sysctl.h, KERN_PROC_*)."""

    ALL = 0
    PID = 1
    PGRP = 2
    SESSION = 3
    TTY = 4
    UID = 5
    RUID = 6
    PROC = 8
    RGID = 10
    GID = 11


@dataclass(frozen=True, slots=True)
class LoadAverage:
    """Runnable threads averaged over 1, 5 and 15 minutes (getloadavg(3))."""

    one: float
    five: float
    fifteen: float


@dataclass(frozen=True, slots=True)
class SwapDevice:
    """One swap area (FreeBSD struct xswdev, Linux /proc/swaps).

    ``usable_bytes`` is what the kernel can really use: FreeBSD's libkvm leaves out the first
    ``dmmax`` pages of each device, pstat(8) does not.  ``name`` is the path where it is known,
    else the device number as ``#C:0x…``.
    """

    name: str
    size_bytes: int
    used_bytes: int
    usable_bytes: int
    flags: int = 0
    device: int | None = None
    priority: int | None = None


@dataclass(frozen=True, slots=True)
class SwapActivity:
    """Swap traffic since boot; an operation may move many pages."""

    in_bytes: int | None = None
    out_bytes: int | None = None
    in_operations: int | None = None
    out_operations: int | None = None


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Seconds one CPU spent in each mode since boot; ``cpu`` None is the sum of all CPUs.

    FreeBSD has user, nice, system, interrupt and idle (sys/sys/resource.h CP_*); Linux has no
    ``interrupt`` but splits it into ``irq`` and ``softirq`` (proc_stat(5)).
    """

    cpu: int | None
    user: float
    nice: float
    system: float
    idle: float
    interrupt: float | None = None
    iowait: float | None = None
    irq: float | None = None
    softirq: float | None = None
    steal: float | None = None
    guest: float | None = None
    guest_nice: float | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """Physical memory as the kernel's own page queues count it.

    ``queues``: bytes by queue (FreeBSD active, inactive, laundry, wired, free …; Linux free and
    the LRU lists).  ``fields``: every further figure under the kernel's own name (Linux
    meminfo), in bytes.  ``counters``: events since boot under the kernel's own name (FreeBSD
    vm.stats.vm v_*, Linux vmstat); these only rise.  ``levels``: what can fall, under the kernel's
    own name and in its own unit, mostly pages (FreeBSD v_free_target, Linux vmstat's nr_*).
    """

    size_bytes: int | None
    available_bytes: int | None
    queues: dict[str, int]
    fields: dict[str, int]
    counters: dict[str, int]
    levels: dict[str, int]


@dataclass(frozen=True, slots=True)
class KernelCounters:
    """The kernel as a whole: events since boot, and how full its tables are."""

    context_switches: int | None = None
    interrupts: int | None = None
    soft_interrupts: int | None = None
    traps: int | None = None
    system_calls: int | None = None
    forks: int | None = None
    boot_time_seconds: float | None = None
    processes_running: int | None = None
    processes_blocked: int | None = None
    open_files: int | None = None
    max_files: int | None = None
    vnodes: int | None = None
    max_vnodes: int | None = None
    max_processes: int | None = None
    max_threads: int | None = None


@dataclass(frozen=True, slots=True)
class Uname:
    """What uname(3) says."""

    sysname: str
    nodename: str
    release: str
    version: str
    machine: str


@dataclass(frozen=True, slots=True)
class Life:
    """When the kernel started and, for a dump, when and of what it died; or was dumped alive.

    ``uptime_seconds`` is at the moment that the values are of: now, or the dump's.
    """

    boot_time_seconds: float | None = None
    uptime_seconds: float | None = None
    death_time_seconds: float | None = None
    panic: str | None = None


@dataclass(frozen=True, slots=True)
class Jail:
    """One jail(8) that lives.  ``parent`` 0 is the host, which is no jail itself.

    ``vnet``: it has a network stack of its own.  ``processes`` are its own, not its children's.
    """

    jid: int
    name: str
    hostname: str
    path: str
    parent: int | None = None
    vnet: bool | None = None
    processes: int | None = None


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted file system (FreeBSD struct statfs, Linux proc_pid_mountinfo(5) and statvfs(3)).

    Sizes are as it told them last, None where it was not asked; ``available_bytes``, what users
    other than root may still write, can be below zero.  ``flags`` are the system's own: FreeBSD's
    MNT_*, Linux's ST_*.
    """

    device: str
    path: str
    kind: str
    flags: int
    size_bytes: int | None = None
    free_bytes: int | None = None
    available_bytes: int | None = None
    files: int | None = None
    free_files: int | None = None


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface and its counters since it came (FreeBSD if_data, Linux proc_net_dev(5)).

    ``jail`` is that of its network stack, 0 the host's.
    """

    name: str
    index: int | None = None
    jail: int | None = 0
    flags: int | None = None
    mtu: int | None = None
    rx_bytes: int | None = None
    rx_packets: int | None = None
    rx_errors: int | None = None
    rx_dropped: int | None = None
    tx_bytes: int | None = None
    tx_packets: int | None = None
    tx_errors: int | None = None
    tx_dropped: int | None = None
    multicast_received: int | None = None
    collisions: int | None = None


class Namespaces(NamedTuple):
    """Linux namespaces(7) by number, their inodes in /proc/PID/ns; None for what it has not."""

    cgroup: int | None = None
    ipc: int | None = None
    mnt: int | None = None
    net: int | None = None
    pid: int | None = None
    pid_for_children: int | None = None
    time: int | None = None
    time_for_children: int | None = None
    user: int | None = None
    uts: int | None = None


class Process(NamedTuple):
    """One process, or one of its threads (``tid`` set), as ps(1) sees it.

    ``state`` is one of running, sleeping, waiting (uninterruptible), stopped, zombie, idle,
    locked.  ``start_seconds`` with ``pid`` names a process for ever.  Times and rusage of a
    process are of all its threads; on a thread's row they are that thread's where the kernel
    knows them.  Linux tells a process's context switches, state and wait channel of its main
    thread only.  Sources: FreeBSD sys/sys/user.h kinfo_proc; Linux proc_pid_stat(5),
    proc_pid_status(5), proc_pid_io(5).
    """

    pid: int
    comm: str | None = None
    state: str | None = None
    ppid: int | None = None
    pgid: int | None = None
    sid: int | None = None
    tpgid: int | None = None
    tsid: int | None = None
    uid: int | None = None
    ruid: int | None = None
    svuid: int | None = None
    gid: int | None = None
    rgid: int | None = None
    svgid: int | None = None
    groups: tuple[int, ...] | None = None
    jail: int | None = None
    cgroup: str | None = None
    login: str | None = None
    login_class: str | None = None
    emulation: str | None = None
    tty: int | None = None
    start_seconds: float | None = None
    user_seconds: float | None = None
    system_seconds: float | None = None
    run_seconds: float | None = None
    children_user_seconds: float | None = None
    children_system_seconds: float | None = None
    percent_cpu: float | None = None
    resident_bytes: int | None = None
    max_resident_bytes: int | None = None
    virtual_bytes: int | None = None
    swap_bytes: int | None = None
    text_bytes: int | None = None
    data_bytes: int | None = None
    stack_bytes: int | None = None
    minor_faults: int | None = None
    major_faults: int | None = None
    cow_faults: int | None = None
    swaps: int | None = None
    voluntary_switches: int | None = None
    involuntary_switches: int | None = None
    read_operations: int | None = None
    write_operations: int | None = None
    read_bytes: int | None = None
    write_bytes: int | None = None
    messages_sent: int | None = None
    messages_received: int | None = None
    signals_received: int | None = None
    threads: int | None = None
    tid: int | None = None
    thread_name: str | None = None
    wait_channel: str | None = None
    lock_name: str | None = None
    nice: int | None = None
    priority: int | None = None
    priority_class: int | None = None
    cpu: int | None = None
    last_cpu: int | None = None
    sleep_seconds: int | None = None
    exit_status: int | None = None
    tracer: int | None = None
    fib: int | None = None
    flags: int | None = None
    thread_flags: int | None = None
    open_files: int | None = None
    max_open_files: int | None = None
    address: int | None = None
    wait_address: int | None = None
    namespaces: Namespaces | None = None


class OpenFile(NamedTuple):
    """One open descriptor.  ``kind`` is vnode, socket, pipe, fifo, kqueue, shm, eventfd, other …

    Sources: FreeBSD kern.file (sys/sys/file.h struct xfile); Linux /proc/PID/fd.
    """

    pid: int
    fd: int
    kind: str
    uid: int | None = None
    flags: int | None = None
    offset: int | None = None
    references: int | None = None
    path: str | None = None
    address: int | None = None
    data_address: int | None = None
    vnode_address: int | None = None
