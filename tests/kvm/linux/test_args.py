"""Are arguments, environment and program read as the process has them?"""

from __future__ import annotations

import errno
from typing import Any

import pytest

from kvm_exporter.kvm.errors import AccessDenied, ProcessGone


@pytest.mark.parametrize(
    ("data", "arguments"),
    [
        (b"", ()),
        (b"sleep\x00300\x00", ("sleep", "300")),
        (b"prog\x00\x00x\x00\x00", ("prog", "", "x", "")),
        (b"nginx: master process", ("nginx: master process",)),
        (b"\x00", ("",)),
        (b"a b\x00\xff\xfe\x00", ("a b", "\udcff\udcfe")),
    ],
)
def test_arguments(forged: Any, data: bytes, arguments: tuple[str, ...]) -> None:
    """Empty arguments stay, a rewritten title is one, a kernel thread has none."""
    forged.tree.process(42)
    forged.tree.put("42/cmdline", data)
    assert forged.system.arguments(42) == arguments


def test_long_arguments_are_whole(forged: Any) -> None:
    """A megabyte of arguments is neither cut nor split."""
    forged.tree.process(42)
    forged.tree.put("42/cmdline", b"x\x00" + b"y" * 2**20 + b"\x00")
    assert forged.system.arguments(42) == ("x", "y" * 2**20)


def test_environment(forged: Any) -> None:
    """Strings as they are; holes that the process wrote over are left out."""
    forged.tree.process(42)
    forged.tree.put("42/environ", b"A=1\x00B=\x00\x00C=x=y\nz\x00\x00\x00")
    assert forged.system.environment(42) == ("A=1", "B=", "C=x=y\nz")


def test_newer_kernels_refuse_an_environment_that_is_not_there(forged: Any) -> None:
    """ESRCH of environ alone is a kernel thread or a zombie, which has none."""
    forged.tree.process(2)
    forged.procfs.refused = {"environ": errno.ESRCH}
    assert forged.system.environment(2) == ()
    (forged.tree.root / "2/stat").unlink()
    with pytest.raises(ProcessGone):
        forged.system.environment(2)
    assert forged.tally.counts() == {}


def test_executable(forged: Any) -> None:
    """The link's text, also of a program that was deleted; none for a kernel thread."""
    for pid, target in ((42, "/usr/bin/x (deleted)"), (43, None)):
        forged.tree.process(pid)
        if target:
            forged.tree.link(f"{pid}/exe", target)
    assert forged.system.executable(42) == "/usr/bin/x (deleted)"
    assert forged.system.executable(43) is None
    assert forged.tally.counts() == {}


@pytest.mark.parametrize(
    ("method", "file"),
    [("arguments", "cmdline"), ("environment", "environ"), ("executable", "exe")],
)
def test_a_process_that_is_gone(forged: Any, method: str, file: str) -> None:
    """Before or during the read, gone is gone, and no failure of a source."""
    with pytest.raises(ProcessGone, match="no process 42"):
        getattr(forged.system, method)(42)
    forged.tree.process(42)
    forged.procfs.vanish_at = (42, file)
    with pytest.raises(ProcessGone, match="no process 42"):
        getattr(forged.system, method)(42)
    assert forged.tally.counts() == {}


@pytest.mark.parametrize(
    ("method", "file"),
    [("arguments", "cmdline"), ("environment", "environ"), ("executable", "exe")],
)
def test_a_process_that_is_not_ours(forged: Any, method: str, file: str) -> None:
    """The error names the privilege that would help, and the source is counted."""
    forged.tree.process(42)
    forged.procfs.refused = {file: errno.EACCES}
    with pytest.raises(AccessDenied, match=f"42/{file}.*same user.*CAP_SYS_PTRACE"):
        getattr(forged.system, method)(42)
    assert forged.tally.counts() == {(f"proc {file}", "EACCES"): 1}
