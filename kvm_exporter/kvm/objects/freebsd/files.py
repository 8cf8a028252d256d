"""Which files are open?  sysctl kern.file, an array of struct xfile (sys/sys/file.h)."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.live.sysctl import Sysctl
from kvm_exporter.kvm.live.tally import Tally
from kvm_exporter.kvm.objects.freebsd.layouts import layout
from kvm_exporter.kvm.objects.freebsd.refusals import refused
from kvm_exporter.kvm.objects.model import OpenFile

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
