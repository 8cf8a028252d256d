"""How was a process called?  Its arguments, environment and program.

1. A running kernel tells them by sysctl kern.proc.
2. A dead one keeps short arguments itself (struct pargs); all others, and the environment, are in
   the process's own memory: full dumps have what of it was not swapped out, minidumps nothing.

The strings are UTF-8, undecodable bytes as surrogates (os.fsencode gives them back).  Kernel
processes have none; neither have zombies.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from kvm_exporter.kvm.abi import Abi
from kvm_exporter.kvm.errors import Fault, FormatError, KvmError, ProcessGone, Unsupported
from kvm_exporter.kvm.live.sysctl import Sysctl
from kvm_exporter.kvm.memory import Memory
from kvm_exporter.kvm.objects.freebsd.namecache import Paths
from kvm_exporter.kvm.objects.freebsd.proclist import ProcessList
from kvm_exporter.kvm.objects.freebsd.procs import CTL_KERN, KERN_PROC
from kvm_exporter.kvm.objects.freebsd.refusals import refused
from kvm_exporter.kvm.objects.freebsd.userstrings import find_vectors, read_strings
from kvm_exporter.kvm.objects.structs import Struct, Values
from kvm_exporter.kvm.objects.vector import vector
from kvm_exporter.kvm.tally import Tally
from kvm_exporter.kvm.target import Target

NUMBERS = {"kern.proc.args": 7, "kern.proc.pathname": 12, "kern.proc.env": 35}
"""KERN_PROC_ARGS, _PATHNAME and _ENV (sys/sys/sysctl.h)."""

PATH_MAX = 1024
"""The longest path, its NUL included (sys/sys/syslimits.h)."""

USUAL = 4096
ARG_MAX = 512 * 1024
"""Bytes of buffer: what nearly always is enough, and the most that execve(2) takes (sys/sys/
syslimits.h; 256 KiB on 32-bit machines).  Asking for the size first would make the kernel read
the process's memory twice."""

UserMemory = Callable[[int], Memory]
"""A process's own memory, by the address of its struct pmap.  Errors: Unsupported, Fault."""

P_SYSTEM, P_WEXIT = 0x200, 0x2000
"""sys/sys/proc.h: it has no memory of its own; it is ending."""

SV_ILP32 = 0x100
"""sv_flags of a 32-bit process (sys/sys/sysent.h)."""

ARGUMENTS, ENVIRONMENT = 0, 1
"""Which of the vectors that struct ps_strings points to."""

_PROC = "p_args p_flag p_sysent p_vmspace p_textvp p_textdvp p_binname"
_SYSENT = "sv_flags sv_psstringssz sv_psstrings"

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


def arguments_from_memory(target: Target, user: UserMemory | None, pid: int) -> tuple[str, ...]:
    """As ``arguments``, of a dead kernel; ``user`` None where processes' memory cannot be read.

    Errors: ProcessGone; Fault, counted, where the process's own memory is not in the dump.
    """
    process = _process(target, pid)
    cached = process["p_args"]
    if cached:
        return vector(_cached(target, cached))
    if process["p_flag"] & (P_WEXIT | P_SYSTEM):
        return ()
    return _of_process(target, user, process, pid, ARGUMENTS)


def environment_from_memory(target: Target, user: UserMemory | None, pid: int) -> tuple[str, ...]:
    """As ``environment``, of a dead kernel.  Errors: as ``arguments_from_memory``."""
    process = _process(target, pid)
    if process["p_flag"] & P_SYSTEM:
        return ()
    if process["p_flag"] & P_WEXIT:
        raise ProcessGone(f"process {pid} was ending: its environment is gone")
    return _of_process(target, user, process, pid, ENVIRONMENT)


def executable_from_memory(target: Target, pid: int) -> str | None:
    """As ``executable``, of a dead kernel: by the name that it was started with, if that is known.

    Errors: ProcessGone, and KvmError where the process cannot be read.
    """
    process = _process(target, pid)
    if not process["p_textvp"]:
        return None
    paths = Paths(target)
    directory = paths.of(process["p_textdvp"]) if process["p_textdvp"] else None
    if directory is None or not process["p_binname"]:
        return paths.of(process["p_textvp"])
    name = target.string(process["p_binname"], PATH_MAX)
    return f"{directory.rstrip('/')}/{name}" if name else paths.of(process["p_textvp"])


def _process(target: Target, pid: int) -> Values:
    address = ProcessList(target).find(pid)
    found = Struct(target, "struct proc", _PROC.split()).values(address)
    if found is None:
        raise Fault(address, f"process {pid} cannot be read")
    return found


def _cached(target: Target, address: int) -> bytes:
    """What struct pargs holds."""
    found = Struct(target, "struct pargs", ("ar_length",)).values(address)
    length = found["ar_length"] if found else 0
    if not 0 < length <= ARG_MAX:
        raise FormatError(f"struct pargs at {address:#x}: {length} bytes of arguments")
    return target.read(address + target.offset("struct pargs", "ar_args"), length)


def _of_process(
    target: Target, user: UserMemory | None, process: Values, pid: int, which: int
) -> tuple[str, ...]:
    """One of the two vectors of strings, from the process's own memory."""
    if user is None:
        raise Unsupported("processes' own memory cannot be read in this dump")
    try:
        memory = user(process["p_vmspace"] + target.offset("struct vmspace", "vm_pmap"))
        place, abi = _ps_strings(target, process)
        return read_strings(memory, abi, find_vectors(memory, abi, place)[which])
    except Fault as e:
        target.tally.add("user memory", None)
        reason = (
            f"process {pid} has its own memory there, which minidumps leave out, as full dumps do "
            "what was swapped out"
        )
        raise Fault(e.address, reason, e.level) from e


def _ps_strings(target: Target, process: Values) -> tuple[int, Abi]:
    """Where the process has its struct ps_strings, and how its words lie."""
    sysent = Struct(target, "struct sysentvec", _SYSENT.split()).values(process["p_sysent"])
    space = Struct(target, "struct vmspace", ("vm_stacktop",)).values(process["p_vmspace"])
    if sysent is None or space is None:
        raise Fault(process["p_vmspace"], "its struct vmspace or sysentvec cannot be read")
    place = sysent["sv_psstrings"]
    if target.has("struct vmspace", "vm_stacktop"):
        place = space["vm_stacktop"] - sysent["sv_psstringssz"] & target.abi.address_mask
    narrow = sysent["sv_flags"] & SV_ILP32 or target.abi.pointer_size == 4
    return place, Abi(target.abi.order, 4 if narrow else 8)
