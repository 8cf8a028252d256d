"""Which file systems are mounted?  /proc/self/mountinfo (proc_pid_mountinfo(5)) and statvfs(3)."""

from __future__ import annotations

import re

from kvm_exporter.kvm.live.procfs import Procfs
from kvm_exporter.kvm.objects.linux import reading
from kvm_exporter.kvm.objects.model import Mount
from kvm_exporter.kvm.tally import Tally

SOURCE = "self/mountinfo"

FLAGS = {
    b"ro": 1,
    b"nosuid": 2,
    b"nodev": 4,
    b"noexec": 8,
    b"sync": 16,
    b"mand": 64,
    b"noatime": 1024,
    b"nodiratime": 2048,
    b"relatime": 4096,
}
"""Mount option → its ST_* (include/linux/statfs.h)."""

REMOTE = re.compile(r"nfs|cifs|smb|9p|afs|ceph|coda|fuse|gluster|lustre|ncp|ocfs|autofs")
"""Kinds that ask somebody else, who may never answer: they are not asked for their sizes."""

_ESCAPE = re.compile(rb"\\([0-3][0-7]{2})")


def from_live(procfs: Procfs, tally: Tally) -> tuple[Mount, ...]:
    """All that this process sees, in the kernel's order.

    Sizes are None of those that are on another machine or in another program, and that refuse.
    Errors: FormatError, AccessDenied, Unsupported.
    """
    data = reading.required(procfs, tally, SOURCE)
    lines = [line for line in data.split(b"\n") if line]
    return tuple(_mount(procfs, tally, line) for line in lines)


def _mount(procfs: Procfs, tally: Tally, line: bytes) -> Mount:
    """``36 35 98:0 /root /mnt rw,noatime master:1 - ext3 /dev/root rw,errors=continue``."""
    left, dash, right = line.partition(b" - ")
    words, more = left.split(b" "), right.split(b" ")
    if not dash or len(words) < 6 or len(more) < 2:
        raise reading.malformed(procfs.path(SOURCE), line)
    path, kind = _unescape(words[4]), _unescape(more[0])
    flags = sum(FLAGS.get(option, 0) for option in set(words[5].split(b",")))
    device = _unescape(more[1])
    room = None if REMOTE.match(kind) else _room(procfs, tally, path)
    return Mount(device, path, kind, flags, *(room or ()))


def _room(procfs: Procfs, tally: Tally, path: str) -> tuple[int, int, int, int, int] | None:
    try:
        room = procfs.room(path)
    except (OSError, ValueError) as e:
        tally.add("statvfs", e.errno if isinstance(e, OSError) else None)
        return None
    if room is None:
        return None
    block = room.f_frsize
    sizes = (room.f_blocks * block, room.f_bfree * block, room.f_bavail * block)
    return (*sizes, room.f_files, room.f_ffree)


def _unescape(name: bytes) -> str:
    r"""A name with ``\040`` and the like undone."""
    plain = _ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), name)
    return plain.decode("utf-8", "surrogateescape")
