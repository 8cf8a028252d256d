"""Does Procfs read whole files, and pass errors up as they are?"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest
from forge.procfs import Tree

from kvm_exporter.kvm.live.procfs import Procfs

live = pytest.mark.skipif(sys.platform != "linux", reason="the live Linux kernel")


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 300_000])
def test_a_file_is_read_whole(tmp_path: Path, size: int) -> None:
    """Every byte is there, whatever the number of reads."""
    data = os.urandom(size)
    Tree(tmp_path).put("stat", data)
    assert Procfs(str(tmp_path)).read("stat") == data


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 100_000])
def test_a_process_file_is_read_whole(tmp_path: Path, size: int) -> None:
    """A record longer than the first read is continued."""
    data = os.urandom(size)
    Tree(tmp_path).put("7/status", data)
    process = Procfs(str(tmp_path)).process(7)
    assert process.read("status") == data
    process.close()


@live
def test_the_kernels_own_long_file_is_whole() -> None:
    """The lines of vmstat are the same, read by us in one go and by Python line by line."""
    names = [line.split()[0] for line in Procfs().read("vmstat").splitlines()]
    with open("/proc/vmstat", "rb") as stream:
        assert names == [line.split()[0] for line in stream]


def test_lines_are_all_there(tmp_path: Path) -> None:
    """Lines come as they are, the last without a newline too."""
    Tree(tmp_path).put("kallsyms", b"a\nb\nc")
    assert list(Procfs(str(tmp_path)).lines("kallsyms")) == [b"a\n", b"b\n", b"c"]


def test_only_numbers_are_pids(tmp_path: Path) -> None:
    """Other names are no processes, and the order is ascending."""
    for name in ("10", "9", "self", "1a", "-3", "sys"):
        (tmp_path / name).mkdir()
    assert Procfs(str(tmp_path)).pids() == [9, 10]


def test_errors_keep_their_errno(tmp_path: Path) -> None:
    """What the kernel said is what the caller gets."""
    with pytest.raises(OSError, match="No such file") as caught:
        Procfs(str(tmp_path)).read("absent")
    assert caught.value.errno == errno.ENOENT
    with pytest.raises(OSError, match="No such file"):
        Procfs(str(tmp_path)).process(1)


def test_a_foreign_tree_is_not_asked_by_number(tmp_path: Path) -> None:
    """Where pids are not ours, no system call is made with them and sizes are not trusted."""
    Tree(tmp_path).link("self", str(os.getpid() + 1))
    foreign = Procfs(str(tmp_path))
    assert foreign.descriptor_limit(os.getpid()) is None
    assert not foreign.counts_descriptors


@live
def test_our_own_proc_is_recognised() -> None:
    """/proc numbers processes as getpid(2) does, so prlimit(2) can be used."""
    own = Procfs()
    assert own.numbered_as_ours
    assert own.descriptor_limit(os.getpid()) is not None
    assert own.counts_descriptors == (os.stat("/proc/self/fd").st_size > 0)


def test_a_reused_pid_is_not_mixed_up(tmp_path: Path) -> None:
    """A directory that was opened never answers for a later process of the same number."""
    tree = Tree(tmp_path)
    tree.put("7/stat", "old")
    process = Procfs(str(tmp_path)).process(7)
    (tmp_path / "7").rename(tmp_path / "gone")
    (tmp_path / "gone/stat").unlink()
    tree.put("7/stat", "new")
    with pytest.raises(FileNotFoundError):
        process.read("stat")
    assert not process.holds("stat")
    process.close()
