"""Which processes are there?  sysctl kern.proc, as kvm_getprocs(3) asks it; or a dump's memory."""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterable, Iterator

from kvm_exporter.kvm.errors import FormatError, KvmError
from kvm_exporter.kvm.live.sysctl import Sysctl
from kvm_exporter.kvm.objects.freebsd import files, kinfo
from kvm_exporter.kvm.objects.freebsd.layouts import layout
from kvm_exporter.kvm.objects.freebsd.procmemory import processes
from kvm_exporter.kvm.objects.freebsd.refusals import refused
from kvm_exporter.kvm.objects.model import Process, ProcOp
from kvm_exporter.kvm.tally import Tally
from kvm_exporter.kvm.target import Target

CTL_KERN = 1
KERN_PROC = 14
KERN_PROC_INC_THREAD = 0x10
"""sys/sys/sysctl.h"""

_WITHOUT_ARGUMENT = (ProcOp.ALL, ProcOp.PROC)


def from_live(  # noqa: PLR0913, PLR0917 - the edge it reads, then System.processes
    sysctl: Sysctl,
    machine: str,
    tally: Tally,
    fields: Collection[str] | None,
    op: ProcOp,
    arg: int,
    threads: bool,
) -> Iterator[Process]:
    """The processes that ``op`` and ``arg`` choose and the caller may see, in the kernel's order.

    ``machine`` is hw.machine_arch.  ProcOp.ALL gives a row a thread, the others do so with
    ``threads``.  A process's row has the state, wait channel, priority and CPU of its first
    thread.  ``open_files`` costs a reading of kern.file, and only when it is asked for by name.
    A process that is not there is an empty answer.

    Errors: FormatError where the kernel's kinfo_proc has another size than the tables, Unsupported
    for an ``op`` that this kernel has not, AccessDenied and KvmError with the sysctl's errno.
    """
    threads = threads or op is ProcOp.ALL
    data = _ask(sysctl, tally, op, arg, threads=threads)
    if not data:
        return iter(())
    shape = layout("kinfo_proc", machine)
    kinfo.check(data, shape)
    rows = kinfo.choose(None if fields is None else {"pid", *fields}, threads=threads)
    units = _units(sysctl, shape.order, tally, {row.unit for row in rows.values()} - {""})
    known = {name: row for name, row in rows.items() if not row.unit or row.unit in units}
    found = kinfo.decode(data, shape, known, units)
    if fields is not None and "open_files" in fields:
        return _with_open_files(sysctl, machine, tally, found)
    return found


def question(op: ProcOp, arg: int, *, threads: bool) -> tuple[int, ...]:
    """The MIB of kern.proc for ``op``: ALL and PROC take no argument, and fail with one."""
    number = op | (KERN_PROC_INC_THREAD if threads and op is not ProcOp.ALL else 0)
    mib = (CTL_KERN, KERN_PROC, number)
    return mib if op in _WITHOUT_ARGUMENT else (*mib, arg)


def _ask(sysctl: Sysctl, tally: Tally, op: ProcOp, arg: int, *, threads: bool) -> bytes:
    try:
        return sysctl.by_mib(question(op, arg, threads=threads))
    except OSError as e:
        if e.errno == errno.ESRCH:
            return b""
        tally.add("kern.proc", e.errno)
        raise refused(e, f"sysctl kern.proc ({op.name} {arg})") from e


def _units(sysctl: Sysctl, order: str, tally: Tally, names: Iterable[str]) -> dict[str, int]:
    """The value of each sysctl; one that fails costs only the attributes that need it."""
    units = {}
    for name in names:
        try:
            units[name] = int.from_bytes(sysctl.by_name(name), "big" if order == ">" else "little")
        except OSError as e:
            tally.add(name, e.errno)
    return units


def _with_open_files(
    sysctl: Sysctl, machine: str, tally: Tally, found: Iterator[Process]
) -> Iterator[Process]:
    """Each process with its descriptors counted; they are read after the processes.

    So a process that is not in kern.file has no file open: it has none, or has ended by then.
    """
    try:
        counts = files.count_by_pid(sysctl, machine)
    except OSError as e:
        tally.add("kern.file", e.errno)
        return found
    except FormatError:
        tally.add("kern.file", None)
        return found
    return (process._replace(open_files=counts[process.pid]) for process in found)


def from_memory(
    target: Target,
    page_size: int,
    fields: Collection[str] | None,
    op: ProcOp,
    arg: int,
    threads: bool,
) -> Iterator[Process]:
    """As ``from_live``, of a dead kernel: what it would have told the host's root.

    ``page_size`` in bytes.  What cannot be read is left out and counted in the target's tally.
    Errors: SymbolMissing and TypeMissing where the kernel does not tell where its processes are, or
    what they look like.
    """
    threads = threads or op is ProcOp.ALL
    found = processes(target, page_size, fields, op, arg, threads)
    if fields is not None and "open_files" in fields:
        return _with_open_files_from_memory(target, found)
    return found


def _with_open_files_from_memory(target: Target, found: Iterator[Process]) -> Iterator[Process]:
    """Each process with its descriptors counted; a zombie has none."""
    try:
        counts = files.counts_from_memory(target)
    except KvmError:
        target.tally.add("struct filedesc", None)
        return found
    return (process._replace(open_files=counts.get(process.pid, 0)) for process in found)
