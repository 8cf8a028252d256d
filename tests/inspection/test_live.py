"""Does ``inspect`` look into the running kernel?"""

from __future__ import annotations

import json
import os
import sys

import pytest

from kvm_exporter import cli
from kvm_exporter.inspection.arguments import parse
from kvm_exporter.kvm import AccessDenied
from kvm_exporter.kvm import open as open_kernel

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="it is about Linux")


def test_own_process_is_listed(capsys):
    """Ps of this machine has this very process and its arguments."""
    assert cli.main(["inspect", "ps", "--json"]) == 0
    rows = {row["pid"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows[os.getpid()]["arguments"]


@pytest.mark.parametrize("subject", ["info", "swap", "jails", "mounts", "interfaces"])
def test_subjects_are_those_of_a_dump(subject, capsys):
    """What a dump tells, a running kernel tells without any privilege."""
    assert cli.main(["inspect", subject, "--json"]) == 0
    json.loads(capsys.readouterr().out)


def test_files_of_one_process(capsys):
    """A number limits them to its process."""
    assert cli.main(["inspect", "files", str(os.getpid()), "--json"]) == 0
    assert {row["pid"] for row in json.loads(capsys.readouterr().out)} == {os.getpid()}


def test_info_is_of_now(capsys):
    """A running kernel has not died."""
    assert cli.main(["inspect", "info", "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["release"] == os.uname().release
    assert not info.keys() & {"died", "panic", "core"}


@pytest.mark.parametrize(
    ("argv", "told"), [(["pages"], "only a dump's pages"), (["textdump"], "no textdump")]
)
def test_what_only_a_dump_has(argv, told, capsys):
    """The message says that the kernel runs."""
    assert cli.main(["inspect", *argv]) == 1
    assert told in capsys.readouterr().err


def test_everything_of_the_own_process(capsys):
    """Its parent and its environment, as it knows them itself."""
    assert cli.main(["inspect", "process", str(os.getpid()), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["pid"], shown["ppid"]) == (os.getpid(), os.getppid())
    assert f"PATH={os.environ['PATH']}" in shown["environment"]
    assert shown["executable"] == os.path.realpath(sys.executable)


def test_a_process_that_is_not_there(capsys):
    """The message says so, and where to look."""
    assert cli.main(["inspect", "process", "4194999"]) == 1
    assert "no process 4194999" in capsys.readouterr().err


@on_linux
def test_types_of_the_running_kernel(capsys):
    """A struct as the kernel shows it in /sys/kernel/btf; else the error says what was tried."""
    status = cli.main(["inspect", "type", "struct list_head"])
    shown = capsys.readouterr()
    if os.path.exists("/sys/kernel/btf/vmlinux"):
        assert status == 0
        assert "struct list_head *prev;" in shown.out
    else:
        assert status == 1
        assert "running kernel's types are not known" in shown.err


def test_symbols_of_the_running_kernel(capsys):
    """Names are looked up where the kernel shows addresses; else the error says who may."""
    try:
        with open_kernel() as kernel:
            kernel.nlist(["printf"])
    except AccessDenied:
        assert cli.main(["inspect", "nlist", "printf"]) == 1
        assert capsys.readouterr().err
    else:
        assert cli.main(["inspect", "nlist", "nobody_knows_this"]) == 0
        assert "nobody_knows_this" in capsys.readouterr().out


def test_without_a_subject_there_is_help(capsys):
    """``inspect`` alone tells its subjects."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["inspect"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert all(f"    {subject} " in out for subject in ("info", "ps", "read", "pages", "textdump"))


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["nonsense"], "nonsense"),
        (["nlist"], "NAME"),
        (["read", "version"], "LEN"),
        (["read", "0x", "4"], "no number"),
        (["read", "version+x", "4"], "no number"),
        (["read", "a b", "4"], "no number"),
        (["read", "0x10000000000000000", "4"], "64 bits"),
        (["read", "-1", "4"], "-1"),
        (["read", "0", "0"], "from 1 to"),
        (["read", "0", "0x4000001"], "from 1 to"),
        (["info", "--core="], "empty"),
        (["info", "--kernel=/boot/kernel/kernel"], "name it with --core"),
        (["info", "--private-key=key.pem"], "name it with --core"),
    ],
)
def test_a_wrong_argument_is_told(argv, told, capsys):
    """Status 2, and the message names what is wrong."""
    with pytest.raises(SystemExit) as ended:
        parse(argv)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_a_missing_dump_is_told(capsys):
    """The message names the file."""
    assert cli.main(["inspect", "info", "--core=/nonexistent/vmcore.0"]) == 1
    assert "/nonexistent/vmcore.0" in capsys.readouterr().err
