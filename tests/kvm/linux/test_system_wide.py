"""Are uptime, log, mounts and interfaces read as the kernel writes them?"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kvm_exporter.kvm.errors import AccessDenied, FormatError, KvmError, Unsupported
from kvm_exporter.kvm.live import kmsg
from kvm_exporter.kvm.objects.linux import log
from kvm_exporter.kvm.objects.model import Interface, Life, Mount
from kvm_exporter.kvm.tally import Tally

MOUNTINFO = """\
22 28 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:5 - proc proc rw
28 1 8:1 / / rw,relatime shared:1 master:2 - ext4 /dev/sda1 rw,errors=remount-ro
99 28 0:50 / /mnt/a\\040b ro - nfs4 server:/a\\134b rw,vers=4.2
"""

NET_DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo \
colls carrier compressed
    lo:     100       2    0    0    0     0          0         0      100       2    0    0    0 \
    0       0          0
eth0:1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
"""


def test_uptime_is_in_hundredths(forged: Any) -> None:
    """Beside the time of boot."""
    forged.tree.put("uptime", "350735.47 234388.90\n")
    assert forged.system.life() == Life(1000000.0, 350735.47)


@pytest.mark.parametrize("text", ["", "x y\n", "12\n", "-1.0 2\n", "1e9.1 2\n"])
def test_an_uptime_that_is_none_is_unknown(forged: Any, text: str) -> None:
    """Never 0."""
    forged.tree.put("uptime", text)
    assert forged.system.life().uptime_seconds is None


def test_there_are_no_jails(forged: Any) -> None:
    """On Linux."""
    assert forged.system.jails() == ()


def records(*found: bytes, error: OSError | None = None) -> Iterator[bytes]:
    """What /dev/kmsg would give."""
    yield from found
    if error:
        raise error


def test_records_are_lines_with_their_time() -> None:
    """Escapes are undone, details left out, what is no record skipped."""
    found = records(
        b"5,0,0,-;Linux version 6.1\n",
        b"6,339,5140900,-,caller=T1;NET: up \\xc3\\xbc\\x5c\n SUBSYSTEM=net\n DEVICE=n1\n",
        b"not a record\n",
        b"4,340,100000000001,c;late\n",
    )
    assert log.from_live(lambda: found, Tally()) == (
        "[    0.000000] Linux version 6.1\n[    5.140900] NET: up \u00fc\\\n[100000.000001] late\n"
    )


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.EPERM, AccessDenied, "dmesg_restrict"),
        (errno.EACCES, AccessDenied, "CAP_SYSLOG"),
        (errno.ENOENT, Unsupported, "container"),
        (errno.EIO, KvmError, "/dev/kmsg"),
    ],
)
def test_a_log_that_is_refused_says_what_helps(
    number: int, kind: type[KvmError], words: str
) -> None:
    """And is counted."""
    tally = Tally()
    refusal = OSError(number, os.strerror(number))
    with pytest.raises(kind, match=words):
        log.from_live(lambda: records(error=refusal), tally)
    assert tally.counts() == {("/dev/kmsg", errno.errorcode[number]): 1}


def test_a_device_is_read_until_it_has_no_more(tmp_path: Path) -> None:
    """A pipe stands for the device: empty, it would block; nothing is waited for."""
    path = tmp_path / "kmsg"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)
    try:
        os.write(writer, b"6,1,2,-;a\n")
        assert list(kmsg.records(str(path))) == [b"6,1,2,-;a\n"]
    finally:
        os.close(writer)


def test_records_that_were_overwritten_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """EPIPE means that the next read is of the oldest record there is."""
    outcomes = iter([b"one", BrokenPipeError(), b"two", BlockingIOError()])

    def read(fd: int, size: int) -> bytes:
        outcome = next(outcomes)
        if isinstance(outcome, OSError):
            raise outcome
        return outcome

    monkeypatch.setattr(kmsg.os, "read", read)
    assert list(kmsg.records(os.devnull)) == [b"one", b"two"]


def test_mounts_are_those_of_mountinfo(forged: Any) -> None:
    """Escapes undone, flags as ST_*; no sizes, for this /proc is not of our own namespaces."""
    forged.tree.put("self/mountinfo", MOUNTINFO)
    assert forged.system.mounts() == (
        Mount("proc", "/proc", "proc", 2 | 4 | 8 | 4096),
        Mount("/dev/sda1", "/", "ext4", 4096),
        Mount("server:/a\\b", "/mnt/a b", "nfs4", 1),
    )


class Room:
    """A struct statvfs."""

    f_frsize, f_blocks, f_bfree, f_bavail, f_files, f_ffree = 512, 100, 50, 40, 7, 3


def test_a_remote_file_system_is_not_asked(forged: Any) -> None:
    """Its server may be gone; one that refuses costs its own sizes."""
    forged.tree.put("self/mountinfo", MOUNTINFO)
    asked = []

    def room(path: str) -> Room:
        asked.append(path)
        if path == "/proc":
            raise OSError(errno.EACCES, "refused")
        return Room()

    forged.procfs.room = room
    found = {mount.path: mount for mount in forged.system.mounts()}
    assert asked == ["/proc", "/"]
    assert found["/"] == Mount("/dev/sda1", "/", "ext4", 4096, 51200, 25600, 20480, 7, 3)
    assert found["/proc"].size_bytes is None
    assert forged.tally.counts() == {("statvfs", "EACCES"): 1}


@pytest.mark.parametrize("line", ["36 35 98:0 / /mnt", "a - b", "1 2 3:4 / / rw - ext4", "-"])
def test_a_line_that_is_no_mount_is_told(forged: Any, line: str) -> None:
    """FormatError with its beginning."""
    forged.tree.put("self/mountinfo", line + "\n")
    with pytest.raises(FormatError, match="mountinfo"):
        forged.system.mounts()


def test_interfaces_are_the_lines_of_net_dev(forged: Any) -> None:
    """Names with a colon, and numbers right behind one."""
    forged.tree.put("net/dev", NET_DEV)
    first, second = forged.system.interfaces()
    assert (first.name, first.rx_bytes, first.tx_packets) == ("lo", 100, 2)
    assert second == Interface(
        name="eth0:1",
        rx_bytes=1,
        rx_packets=2,
        rx_errors=3,
        rx_dropped=4,
        multicast_received=8,
        tx_bytes=9,
        tx_packets=10,
        tx_errors=11,
        tx_dropped=12,
        collisions=14,
    )


@pytest.mark.parametrize(
    "line", ["eth0 1 2 3", "eth0: 1 2 3", "eth0: " + "x " * 16, ": " + "1 " * 16]
)
def test_a_line_that_is_no_interface_is_told(forged: Any, line: str) -> None:
    """FormatError with its beginning."""
    forged.tree.put("net/dev", f"a\nb\n{line}\n")
    with pytest.raises(FormatError, match="net/dev"):
        forged.system.interfaces()


def test_a_kernel_without_a_network_is_told(forged: Any) -> None:
    """Unsupported: there is no such file."""
    with pytest.raises(Unsupported, match="net/dev"):
        forged.system.interfaces()
