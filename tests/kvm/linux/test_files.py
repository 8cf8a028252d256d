"""Are open descriptors read as the kernel shows them?"""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest

from kvm_exporter.kvm.errors import AccessDenied, ProcessGone
from kvm_exporter.kvm.objects.model import OpenFile

LINKS = {
    0: ("/dev/null", "vnode"),
    1: ("pipe:[12]", "pipe"),
    2: ("socket:[34]", "socket"),
    3: ("anon_inode:[eventfd]", "eventfd"),
    4: ("anon_inode:[eventpoll]", "eventpoll"),
    5: ("anon_inode:[timerfd]", "timerfd"),
    6: ("anon_inode:[signalfd]", "signalfd"),
    7: ("anon_inode:inotify", "inotify"),
    8: ("anon_inode:bpf-map", "other"),
    9: ("/memfd:shm (deleted)", "shm"),
    10: ("/SYSV00000000 (deleted)", "shm"),
    11: ("/tmp/a file (deleted)", "vnode"),
    12: ("net:[4026531840]", "other"),
}


def fill(forged: Any, pid: int) -> None:
    """A process with a descriptor of every kind."""
    forged.tree.process(pid, fds=())
    for fd, (target, _) in LINKS.items():
        forged.tree.link(f"{pid}/fd/{fd}", target)
        forged.tree.put(f"{pid}/fdinfo/{fd}", f"pos:\t{fd * 2**32}\nflags:\t0100002\nmnt_id:\t9\n")


def test_every_kind_is_told(forged: Any) -> None:
    """Number, kind, path, offset and flags of each, ascending."""
    fill(forged, 42)
    flags = os.O_RDWR | 0o100000
    assert list(forged.system.open_files(42)) == [
        OpenFile(42, fd, kind, flags=flags, offset=fd * 2**32, path=path)
        for fd, (path, kind) in LINKS.items()
    ]


def test_details_that_are_not_told_are_unknown(forged: Any) -> None:
    """An fdinfo of another shape costs what it does not tell."""
    fill(forged, 42)
    forged.tree.put("42/fdinfo/0", "pos:\tx\nflags:\t99\n")
    forged.tree.put("42/fdinfo/1", "")
    first, second = list(forged.system.open_files(42))[:2]
    assert (first.offset, first.flags, first.path) == (None, None, "/dev/null")
    assert (second.offset, second.flags, second.kind) == (None, None, "pipe")


def test_a_descriptor_that_is_closed_midway_is_left_out(forged: Any) -> None:
    """Its neighbours are there."""
    fill(forged, 42)
    (forged.tree.root / "42/fdinfo/3").unlink()
    assert [file.fd for file in forged.system.open_files(42)] == [f for f in LINKS if f != 3]


def test_one_process_that_is_gone_or_not_ours(forged: Any) -> None:
    """Asking for a single process tells why there is no answer."""
    with pytest.raises(ProcessGone):
        list(forged.system.open_files(42))
    forged.tree.process(42)
    forged.procfs.refused = {"fd": errno.EACCES}
    with pytest.raises(AccessDenied, match="42/fd"):
        list(forged.system.open_files(42))
    assert forged.tally.counts() == {("proc fd", "EACCES"): 1}


def test_all_processes_leave_out_those_that_cannot_be_read(forged: Any) -> None:
    """A refused process is counted, one that ends is not."""
    for pid in (41, 42, 43):
        fill(forged, pid)
    forged.procfs.refused = {"41": errno.EACCES}
    forged.procfs.vanish_at = (42, "fd")
    assert {file.pid for file in forged.system.open_files(None)} == {43}
    assert forged.tally.counts() == {("proc fd", "EACCES"): 1}
