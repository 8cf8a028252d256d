"""How was a process called?  Its arguments, environment and program, from sysctl kern.proc.

The strings are UTF-8, undecodable bytes as surrogates (os.fsencode gives them back).  Kernel
processes have none; neither have zombies.
"""

from __future__ import annotations

import errno

from kvm_exporter.kvm.errors import KvmError, ProcessGone
from kvm_exporter.kvm.live.sysctl import Sysctl
from kvm_exporter.kvm.live.tally import Tally
from kvm_exporter.kvm.objects.freebsd.procs import CTL_KERN, KERN_PROC
from kvm_exporter.kvm.objects.freebsd.refusals import refused
from kvm_exporter.kvm.objects.vector import vector

NUMBERS = {"kern.proc.args": 7, "kern.proc.pathname": 12, "kern.proc.env": 35}
"""KERN_PROC_ARGS, _PATHNAME and _ENV (sys/sys/sysctl.h)."""

PATH_MAX = 1024
"""The longest path, its NUL included (sys/sys/syslimits.h)."""

USUAL = 4096
ARG_MAX = 512 * 1024
"""Bytes of buffer: what nearly always is enough, and the most that execve(2) takes (sys/sys/
syslimits.h; 256 KiB on 32-bit machines).  Asking for the size first would make the kernel read
the process's memory twice."""

_DEBUG = "it needs the same user, or root (p_candebug(9), security.bsd.unprivileged_proc_debug)"


def arguments(sysctl: Sysctl, tally: Tally, pid: int) -> tuple[str, ...]:
    """The argument vector, as the process itself may have changed it (setproctitle(3)).

    Errors: ProcessGone, AccessDenied; all but the first are counted in ``tally``.
    """
    return _strings(sysctl, tally, "kern.proc.args", pid)


def environment(sysctl: Sysctl, tally: Tally, pid: int) -> tuple[str, ...]:
    """The environment as ``NAME=value`` strings, those that are no such pair included.

    Errors: as ``arguments``.
    """
    return _strings(sysctl, tally, "kern.proc.env", pid)


def executable(sysctl: Sysctl, tally: Tally, pid: int) -> str | None:
    """Path of the program.

    None for kernel processes, and where the kernel knows no name for it any more (the file was
    removed, or its name fell out of the cache).  Errors: as ``arguments``.
    """
    try:
        data = _ask(sysctl, "kern.proc.pathname", pid, PATH_MAX)
    except OSError as e:
        if e.errno == errno.ENOENT:
            return None
        raise _refused(tally, "kern.proc.pathname", pid, e) from e
    return _text(data.partition(b"\0")[0]) or None


def _strings(sysctl: Sysctl, tally: Tally, name: str, pid: int) -> tuple[str, ...]:
    try:
        data = _ask(sysctl, name, pid, USUAL)
        if len(data) == USUAL:
            data = _ask(sysctl, name, pid, ARG_MAX)
    except OSError as e:
        raise _refused(tally, name, pid, e) from e
    return vector(data)


def _ask(sysctl: Sysctl, name: str, pid: int, size: int) -> bytes:
    if pid < 0:
        # to the kernel -1 is the caller itself
        raise ProcessGone(f"there is no process {pid}")
    mib = (CTL_KERN, KERN_PROC, NUMBERS[name], pid)
    return sysctl.by_mib(mib, size, keep_partial=True)


def _refused(tally: Tally, name: str, pid: int, error: OSError) -> KvmError:
    if error.errno != errno.ESRCH:
        tally.add(name, error.errno)
    return refused(error, f"{name} of process {pid}", _DEBUG)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
