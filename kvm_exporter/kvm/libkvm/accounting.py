"""kvm_getprocs(3) and its kin: what does the kernel account for?"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass

from kvm_exporter.kvm.errors import KvmError
from kvm_exporter.kvm.libkvm.descriptor import Descriptor, errno_of
from kvm_exporter.kvm.objects.freebsd.cptime import ticks_from_memory
from kvm_exporter.kvm.objects.freebsd.dead import FreeBSDDead
from kvm_exporter.kvm.objects.freebsd.system import FreeBSDLive
from kvm_exporter.kvm.objects.model import OpenFile, Process, ProcOp, SwapDevice

KERN_PROC_INC_THREAD = 0x10
"""Added to an op: a row a thread (sys/sys/sysctl.h)."""

SWIF_DUMP_TREE = 0x1
SWIF_DEV_PREFIX = 0x2
"""kvm_getswapinfo's flags: print the swap map (older releases, dumps only; ignored), and put
/dev/ before a device's name (lib/libkvm/kvm.h)."""

DEVNAME_SIZE = 32
"""Bytes of ksw_devname, its NUL included."""

CPUSTATES = 5
"""sys/sys/resource.h"""

CP_TIME = struct.Struct(f"@{CPUSTATES}l")
INT = struct.Struct("@i")


@dataclass(slots=True)
class KvmSwap:
    """struct kvm_swap (lib/libkvm/kvm.h); counts are pages."""

    ksw_devname: str = ""
    ksw_used: int = 0
    ksw_total: int = 0
    ksw_flags: int = 0


def kvm_getloadavg(kd: Descriptor, loadavg: list[float], nelem: int) -> int:
    """Put up to ``nelem`` samples, at most 3, into ``loadavg``; their number, -1 on failure."""
    with kd.reporting("kvm_getloadavg"):
        load = kd.kvm.load_average()
        samples = (load.one, load.five, load.fifteen)[: max(nelem, 0)]
        loadavg[: len(samples)] = samples
        return len(samples)
    return -1


def kvm_getcptime(kd: Descriptor | None, cp_time: list[int]) -> int:
    """Put the ticks of user, nice, system, interrupt and idle into ``cp_time``; 0, -1 on failure.

    They are the kernel's own; of a dump, the sum of its CPUs'.  On Linux interrupt is irq and
    softirq, idle is idle and iowait.  None, which clears libkvm's cache, gives 0: there is none
    here.
    """
    if kd is None:
        return 0
    with kd.reporting("kvm_getcptime"):
        system = kd.kvm.system
        if isinstance(system, FreeBSDLive):
            cp_time[:CPUSTATES] = _fixed(system, "kern.cp_time", CP_TIME)
        elif isinstance(system, FreeBSDDead):
            cp_time[:CPUSTATES] = ticks_from_memory(kd.kvm.target, system.cpus)
        else:
            cp_time[:CPUSTATES] = _clock_ticks(kd)
        return 0
    return -1


def _fixed(system: FreeBSDLive, name: str, shape: struct.Struct) -> tuple[int, ...]:
    """The integers of a sysctl that has just that shape."""
    try:
        raw = system.sysctl.by_name(name)
    except OSError as e:
        raise KvmError(f"cannot read sysctl {name}:{os.strerror(e.errno or 0)}") from None
    if len(raw) != shape.size:
        raise KvmError(f"sysctl {name} has unexpected size")
    return shape.unpack(raw)


def _clock_ticks(kd: Descriptor) -> list[int]:
    times = kd.kvm.cpu_times()
    seconds = (
        times.user,
        times.nice,
        times.system,
        (times.irq or 0) + (times.softirq or 0),
        times.idle + (times.iowait or 0),
    )
    rate = os.sysconf("SC_CLK_TCK")
    return [round(spent * rate) for spent in seconds]


def kvm_getswapinfo(
    kd: Descriptor | None, swap_ary: list[KvmSwap], swap_max: int, flags: int
) -> int:
    """Put up to ``swap_max`` - 1 devices and then the total into ``swap_ary``.

    Returns the number of devices put there; the total, which is of all of them, is at that index.
    -1 on failure.  None, which clears libkvm's cache, gives 0: there is none here.
    """
    if kd is None:
        return 0
    with kd.reporting("kvm_getswapinfo"):
        page = kd.kvm.system.page_size
        rows = [_swap(device, page, flags) for device in _swap_devices(kd)]
        count = min(len(rows), swap_max - 1)
        if count >= 0:
            total = KvmSwap(
                ksw_used=sum(row.ksw_used for row in rows),
                ksw_total=sum(row.ksw_total for row in rows),
            )
            swap_ary[: count + 1] = [*rows[:count], total]
        return count
    return -1


def _swap_devices(kd: Descriptor) -> tuple[SwapDevice, ...]:
    system = kd.kvm.system
    if not isinstance(system, FreeBSDLive):
        return kd.kvm.swap_devices()
    _fixed(system, "vm.dmmax", INT)
    try:
        return kd.kvm.swap_devices()
    except KvmError as e:
        number = errno_of(e)
        if number is None:
            raise
        raise KvmError(f"cannot read sysctl: {os.strerror(number)}.") from None


def _swap(device: SwapDevice, page: int, flags: int) -> KvmSwap:
    name = device.name
    if not flags & SWIF_DEV_PREFIX:
        name = name.removeprefix("/dev/")
    elif name.startswith("#"):
        # libkvm's prefix is before the number of a device without a name, too
        name = f"/dev/{name}"
    cut = os.fsencode(name)[: DEVNAME_SIZE - 1]
    return KvmSwap(
        os.fsdecode(cut), device.used_bytes // page, device.usable_bytes // page, device.flags
    )


def kvm_getprocs(kd: Descriptor, op: int, arg: int) -> list[Process] | None:
    """The processes that KERN_PROC_* ``op`` and ``arg`` choose; None on failure.

    With KERN_PROC_INC_THREAD, and for KERN_PROC_ALL, a row a thread.  No match is an empty list;
    but for KERN_PROC_PID it is a failure, "No such process", as the kernel has it.
    """
    with kd.reporting("kvm_getprocs"):
        try:
            choice = ProcOp(op & ~KERN_PROC_INC_THREAD)
        except ValueError:
            kd.fail_with("kvm_getprocs", errno.ENOENT)
            return None
        threads = bool(op & KERN_PROC_INC_THREAD)
        found = list(kd.kvm.processes(None, choice, arg, threads=threads))
        if choice is ProcOp.PID and not found:
            kd.fail_with("kvm_getprocs", errno.ESRCH)
            return None
        return found
    return None


def kvm_getargv(kd: Descriptor, p: Process, nchr: int = 0) -> list[str] | None:
    """The arguments of ``p``; None on failure and where there are none (kernel processes).

    Of a dump they are what the kernel kept, and else read from the process's own memory, which a
    full dump has and a minidump has not; libkvm reads neither.  ``nchr``: bytes to use at most, a
    NUL after each string included; 0 is no limit.
    """
    return _strings(kd, "kvm_getargv", kd.kvm.arguments, p, nchr)


def kvm_getenvv(kd: Descriptor, p: Process, nchr: int = 0) -> list[str] | None:
    """The environment of ``p``; otherwise as kvm_getargv."""
    return _strings(kd, "kvm_getenvv", kd.kvm.environment, p, nchr)


def _strings(
    kd: Descriptor, name: str, read: Callable[[int], tuple[str, ...]], p: Process, nchr: int
) -> list[str] | None:
    with kd.reporting(name):
        strings = read(p.pid)
        return _cut(strings, nchr) if strings else None
    return None


def _cut(strings: tuple[str, ...], nchr: int) -> list[str]:
    whole = b"".join(os.fsencode(text) + b"\0" for text in strings)
    if not 0 < nchr < len(whole):
        return list(strings)
    return [os.fsdecode(raw) for raw in whole[: nchr - 1].split(b"\0")]


def kvm_getfiles(
    kd: Descriptor,
    op: int = 0,  # noqa: ARG001 - "no predicates are defined" (older kvm_getfiles(3))
    arg: int = 0,  # noqa: ARG001
) -> list[OpenFile] | None:
    """Every open file descriptor, None on failure.  ``op`` and ``arg`` choose nothing.

    Gone from FreeBSD's kvm.h; older releases and the other BSDs have it.
    """
    with kd.reporting("kvm_getfiles"):
        return list(kd.kvm.open_files())
    return None
