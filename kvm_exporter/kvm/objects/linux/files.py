"""What has a process open?  The links of /proc/PID/fd (proc_pid_fd(5)), and fdinfo beside them."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from kvm_exporter.kvm.errors import ProcessGone
from kvm_exporter.kvm.live.procfs import Directory, Procfs
from kvm_exporter.kvm.objects.linux import reading
from kvm_exporter.kvm.objects.model import OpenFile
from kvm_exporter.kvm.tally import Tally

_KINDS = (
    (b"socket:", "socket"),
    (b"pipe:", "pipe"),
    (b"/memfd:", "shm"),  # memfd_create(2)
    (b"/SYSV", "shm"),  # shmat(2)
    (b"anon_inode:[eventfd]", "eventfd"),
    (b"anon_inode:[eventpoll]", "eventpoll"),
    (b"anon_inode:[timerfd]", "timerfd"),
    (b"anon_inode:[signalfd]", "signalfd"),
    (b"anon_inode:inotify", "inotify"),
    (b"/", "vnode"),
)
"""How a link begins → what it is; the first that fits."""

_GONE = (errno.ENOENT, errno.ESRCH)


def from_live(procfs: Procfs, tally: Tally, pid: int | None) -> Iterator[OpenFile]:
    """The descriptors of one process, or of every one that we may look into.

    A named fifo is a ``vnode``: its link is its path.  Errors, for a single process only:
    ProcessGone; AccessDenied for another user's.
    """
    if pid is not None:
        yield from _one(procfs, tally, pid)
        return
    for each in reading.pids(procfs, tally):
        try:
            yield from _of(procfs, each)
        except OSError as error:
            if error.errno not in _GONE:
                tally.add("proc fd", error.errno)


def _one(procfs: Procfs, tally: Tally, pid: int) -> list[OpenFile]:
    try:
        return _of(procfs, pid)
    except OSError as error:
        if error.errno in _GONE:
            raise ProcessGone(f"{procfs.path(str(pid))}: no process {pid}") from error
        tally.add("proc fd", error.errno)
        raise reading.refusal(procfs.path(f"{pid}/fd"), error) from error


def _of(procfs: Procfs, pid: int) -> list[OpenFile]:
    process = procfs.process(pid)
    try:
        found = (_file(process, fd) for fd in process.numbers("fd"))
        return [file for file in found if file]
    finally:
        process.close()


def _file(process: Directory, fd: int) -> OpenFile | None:
    """One descriptor; None if it was closed in the meantime."""
    try:
        link = process.link(f"fd/{fd}")
        offset, flags = details(process.read(f"fdinfo/{fd}"))
    except FileNotFoundError:
        return None
    path = link.decode("utf-8", "surrogateescape")
    return OpenFile(process.number, fd, kind(link), offset=offset, flags=flags, path=path)


def kind(link: bytes) -> str:
    """What a link of /proc/PID/fd stands for; ``other`` for the rest."""
    return next((kind for start, kind in _KINDS if link.startswith(start)), "other")


def details(data: bytes) -> tuple[int | None, int | None]:
    """Offset (decimal) and open(2) flags (octal) from fdinfo; None for what it does not tell."""
    rows = dict(line.split(b":", 1) for line in data.split(b"\n") if b":" in line)
    flags = rows.get(b"flags", b"").strip()
    octal = flags and not flags.strip(b"01234567")
    return reading.first_number(rows.get(b"pos", b"")), int(flags, 8) if octal else None
