"""Which files are open?  sysctl kern.file, an array of struct xfile (sys/sys/file.h).

Of a dead kernel: what that sysctl would have read, and the paths that the kernel still knew.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from kvm_exporter.kvm.errors import FormatError, KvmError
from kvm_exporter.kvm.live.sysctl import Sysctl
from kvm_exporter.kvm.objects.freebsd.filetables import FileTables, Process
from kvm_exporter.kvm.objects.freebsd.layouts import layout
from kvm_exporter.kvm.objects.freebsd.namecache import Paths
from kvm_exporter.kvm.objects.freebsd.refusals import refused
from kvm_exporter.kvm.objects.model import OpenFile
from kvm_exporter.kvm.tally import Tally
from kvm_exporter.kvm.target import Target

KERN_FILE = (1, 15)
"""CTL_KERN, KERN_FILE (sys/sys/sysctl.h)."""

KINDS = {
    1: "vnode",
    2: "socket",
    3: "pipe",
    4: "fifo",
    5: "kqueue",
    6: "crypto",
    7: "mqueue",
    8: "shm",
    9: "sem",
    10: "pts",
    11: "dev",
    12: "procdesc",
    13: "eventfd",
    14: "timerfd",
    15: "inotify",
    16: "jaildesc",
}
"""DTYPE_* (sys/sys/file.h); any other is ``other``."""

_MEMBERS = (
    "xf_pid",
    "xf_uid",
    "xf_fd",
    "xf_file",
    "xf_type",
    "xf_count",
    "xf_offset",
    "xf_data",
    "xf_vnode",
    "xf_flag",
)


def from_live(sysctl: Sysctl, machine: str, tally: Tally, pid: int | None) -> Iterator[OpenFile]:
    """The open descriptors of process ``pid``, or of all that the caller may see.

    ``machine`` is hw.machine_arch.  ``flags`` are the file's FREAD, FWRITE …; ``references``
    counts its descriptors and other holders; the paths are not in kern.file.  A process that is
    not there has no descriptors.  Errors: FormatError where the kernel's xfile has another size
    than the tables; KvmError with the sysctl's errno.
    """
    try:
        records = _records(sysctl, machine, _MEMBERS)
    except OSError as e:
        tally.add("kern.file", e.errno)
        raise refused(e, "open files (kern.file)") from e
    return (_file(record) for record in records if pid is None or record[0] == pid)


def count_by_pid(sysctl: Sysctl, machine: str) -> Counter[int]:
    """How many descriptors each process has open.  OSError as the sysctl says, and FormatError."""
    return Counter(pid for (pid,) in _records(sysctl, machine, ("xf_pid",)))


def _records(sysctl: Sysctl, machine: str, members: Iterable[str]) -> Iterator[tuple[Any, ...]]:
    """Those members of each whole record, in the struct's order."""
    shape = layout("xfile", machine)
    data = sysctl.by_mib(KERN_FILE)
    if not data:
        return iter(())
    (size,) = struct.unpack_from(f"{shape.order}Q", data.ljust(8, b"\0"))
    if size != shape.size:
        raise FormatError(
            f"struct xfile is {shape.size} bytes in the tables of this version, {size} in this "
            "kernel: descriptors cannot be listed"
        )
    whole = len(data) - len(data) % size
    return shape.compile(members).decoder.iter_unpack(memoryview(data)[:whole])


def _file(record: tuple[Any, ...]) -> OpenFile:
    pid, uid, fd, address, kind, references, offset, data, vnode, flags = record
    return OpenFile(
        pid=pid,
        fd=fd,
        kind=KINDS.get(kind, "other"),
        uid=uid,
        flags=flags,
        offset=offset,
        references=references,
        address=address or None,
        data_address=data or None,
        vnode_address=vnode or None,
    )


def from_memory(target: Target, pid: int | None) -> Iterator[OpenFile]:
    """As ``from_live``, of a dead kernel; with the path of a vnode where the kernel knows one.

    Errors: SymbolMissing and TypeMissing where the kernel does not tell where its processes are, or
    what their files look like.
    """
    tables = FileTables(target)
    paths = _paths(target)
    found = tables.processes(pid)
    return (file for process in found for file in _files(target, tables, paths, process))


def counts_from_memory(target: Target) -> dict[int, int | None]:
    """How many descriptors each process has open; None where its table cannot be read.

    Errors: as ``from_memory``.
    """
    tables = FileTables(target)
    return {process.pid: tables.count(process) for process in tables.processes(None)}


def _paths(target: Target) -> Paths | None:
    try:
        return Paths(target)
    except KvmError:
        target.tally.add("struct namecache", None)
        return None


def _files(
    target: Target, tables: FileTables, paths: Paths | None, process: Process
) -> Iterator[OpenFile]:
    """Of one process, as far as its table can be read."""
    try:
        for number, address in tables.descriptors(process):
            file = tables.file(address)
            if file is None:
                continue
            vnode = file["f_vnode"]
            yield OpenFile(
                pid=process.pid,
                fd=number,
                kind=KINDS.get(file["f_type"], "other"),
                uid=process.uid,
                flags=file["f_flag"],
                offset=file["f_offset"],
                references=file["f_count"],
                path=paths.of(vnode) if paths and vnode else None,
                address=address,
                data_address=file["f_data"] or None,
                vnode_address=vnode or None,
            )
    except KvmError:
        target.tally.add("struct filedesc", None)
