"""Are processes read, chosen and left out as promised?"""

from __future__ import annotations

import errno
from typing import Any

import pytest

from kvm_exporter.kvm.errors import AccessDenied, Unsupported
from kvm_exporter.kvm.objects.model import Namespaces, Process, ProcOp

WHOLE = Process(
    pid=42,
    comm="forged",
    state="sleeping",
    ppid=1,
    pgid=105,
    sid=106,
    tpgid=108,
    uid=1002,
    ruid=1001,
    svuid=1003,
    gid=2002,
    rgid=2001,
    svgid=2003,
    groups=(7, 8, 4294967294),
    cgroup="/forged.slice",
    tty=107,
    start_seconds=1000001.22,
    user_seconds=1.14,
    system_seconds=1.15,
    children_user_seconds=1.16,
    children_system_seconds=1.17,
    resident_bytes=124 * 4096,
    max_resident_bytes=11 * 1024,
    virtual_bytes=123,
    swap_bytes=15 * 1024,
    text_bytes=14 * 1024,
    data_bytes=12 * 1024,
    stack_bytes=13 * 1024,
    minor_faults=110,
    major_faults=112,
    voluntary_switches=16,
    involuntary_switches=17,
    read_bytes=5,
    write_bytes=6,
    threads=120,
    wait_channel="do_forge",
    nice=119,
    priority=118,
    last_cpu=139,
    tracer=0,
    flags=109,
    open_files=3,
    max_open_files=1024,
    namespaces=Namespaces(*range(4026531834, 4026531844)),
)


def test_every_field_comes_from_its_place(forged: Any) -> None:
    """All fields of a process whose every number is another."""
    forged.tree.process(42)
    assert forged.processes() == [WHOLE]
    assert forged.tally.counts() == {}


@pytest.mark.parametrize("field", [f for f in Process._fields if getattr(WHOLE, f) is not None])
def test_a_field_alone_is_the_same(forged: Any, field: str) -> None:
    """Asking for one field gives what asking for all gives."""
    forged.tree.process(42)
    assert getattr(forged.processes(field)[0], field) == getattr(WHOLE, field)


@pytest.mark.parametrize(
    ("fields", "files"),
    [
        (["pid"], []),
        (["pid", "comm", "start_seconds"], ["stat"]),
        (["swap_bytes", "uid"], ["stat", "status"]),
        (["read_bytes"], ["stat", "io"]),
        (["open_files"], ["stat", "fd"]),
        (["max_open_files"], ["limits"]),
        (["cgroup", "wait_channel"], ["stat", "cgroup", "wchan"]),
        (["namespaces"], ["stat", *(f"ns/{name}" for name in Namespaces._fields)]),
    ],
)
def test_only_the_files_needed_are_read(forged: Any, fields: list[str], files: list[str]) -> None:
    """What nobody asked for costs nothing; stat tells whether the dear files can be spared."""
    forged.tree.process(42)
    forged.processes(*fields)
    boot = ["stat"] if "start_seconds" in fields else []
    assert forged.procfs.accesses == [*boot, "", *(["42", *files] if files else [])]


@pytest.mark.parametrize(
    "comm",
    [b"", b"a b", b"(sd-pam)", b") R (", b")\nR 1 1\n(", b"((", b"))", b"\xff\xfe", b"kworker/0:1"],
)
def test_a_comm_may_hold_anything(forged: Any, comm: bytes) -> None:
    """Neither a parenthesis nor a newline in a name shifts the numbers."""
    forged.tree.process(42, comm)
    process = forged.processes("comm", "state", "ppid", "resident_bytes")[0]
    assert process.comm.encode("utf-8", "surrogateescape") == comm
    assert (process.state, process.ppid) == ("sleeping", 1)
    assert process.resident_bytes == WHOLE.resident_bytes


@pytest.mark.parametrize(
    ("letter", "word"),
    [
        ("R", "running"),
        ("S", "sleeping"),
        ("D", "waiting"),
        ("T", "stopped"),
        ("t", "stopped"),
        ("Z", "zombie"),
        ("X", "zombie"),
        ("I", "idle"),
        ("P", "idle"),
        ("?", None),
    ],
)
def test_states_have_words(forged: Any, letter: str, word: str | None) -> None:
    """Each letter has its word; an unknown one is unknown."""
    forged.tree.process(42, stat={3: letter})
    assert forged.processes("state")[0].state == word


def test_huge_numbers_are_exact(forged: Any) -> None:
    """Nothing is cut to 32 bits or rounded."""
    big = 2**64 - 1
    forged.tree.process(
        42, stat={10: big, 23: big, 14: 2**40}, status={"swap": 2**50}, io=(big, 2**63)
    )
    process = forged.processes()[0]
    assert (process.minor_faults, process.virtual_bytes) == (big, big)
    assert (process.read_bytes, process.write_bytes) == (big, 2**63)
    assert process.swap_bytes == 2**60
    assert process.user_seconds == 2**40 / 100


def test_no_terminal_is_unknown(forged: Any) -> None:
    """0 and -1 stand for no terminal and no foreground group."""
    forged.tree.process(42, stat={7: 0, 8: -1, 18: -51, 19: -20})
    process = forged.processes("tty", "tpgid", "priority", "nice")[0]
    assert (process.tty, process.tpgid, process.priority, process.nice) == (None, None, -51, -20)


def test_a_kernel_thread_has_no_swap(forged: Any) -> None:
    """Missing Vm lines are unknown, and no failure."""
    forged.tree.process(2)
    status = (forged.tree.root / "2/status").read_text().splitlines(keepends=True)
    forged.tree.put("2/status", "".join(line for line in status if not line.startswith("Vm")))
    process = forged.processes()[0]
    assert (process.swap_bytes, process.max_resident_bytes) == (None, None)
    assert (process.uid, process.involuntary_switches) == (1002, 17)
    assert forged.tally.counts() == {}


def test_lines_in_another_order_are_found(forged: Any) -> None:
    """The order of status is no promise of the kernel."""
    forged.tree.process(42)
    status = (forged.tree.root / "42/status").read_text().splitlines(keepends=True)
    forged.tree.put("42/status", "".join(["Name:\tx\n", *reversed(status[1:])]))
    assert forged.processes() == [WHOLE]


def test_an_older_kernels_stat_is_shorter(forged: Any) -> None:
    """Fields that came later are unknown, the others are there."""
    forged.tree.process(42)
    line = (forged.tree.root / "42/stat").read_text().split()
    forged.tree.put("42/stat", " ".join(line[:38]) + "\n")
    assert forged.processes() == [WHOLE._replace(last_cpu=None)]


def test_refused_files_cost_their_own_fields(forged: Any) -> None:
    """EACCES on io and fd loses these two, under their own names."""
    forged.tree.process(42)
    forged.procfs.refused = {"io": errno.EACCES, "fd": errno.EPERM}
    lost = WHOLE._replace(read_bytes=None, write_bytes=None, open_files=None)
    assert forged.processes() == [lost]
    assert forged.tally.counts() == {("proc io", "EACCES"): 1, ("proc fd", "EPERM"): 1}


def test_a_kernel_without_a_file_costs_its_fields(forged: Any) -> None:
    """ENOENT of a file is no end of a process whose stat is there."""
    forged.tree.process(42)
    for name in ("io", "cgroup", "wchan"):
        (forged.tree.root / "42" / name).unlink()
    process = forged.processes()[0]
    assert process == WHOLE._replace(
        read_bytes=None, write_bytes=None, cgroup=None, wait_channel=None
    )
    assert forged.tally.counts()["proc io", "ENOENT"] == 1


@pytest.mark.parametrize(
    "file", ["limits", "fd", "cgroup", "wchan", "ns/net", "io", "status", "stat"]
)
def test_a_process_that_ends_midway_is_left_out(forged: Any, file: str) -> None:
    """Whichever file is next, half a process is never given, nor counted as a failure."""
    for pid in (41, 42, 43):
        forged.tree.process(pid)
    forged.procfs.vanish_at = (42, file)
    assert [process.pid for process in forged.processes()] == [41, 43]
    assert forged.tally.counts() == {}


def test_a_zombie_has_left_its_namespaces(forged: Any) -> None:
    """What of them is there is told, the others are unknown, and no failure."""
    forged.tree.process(42)
    for name in {*Namespaces._fields} - {"pid", "user"}:
        (forged.tree.root / "42/ns" / name).unlink()
    told = WHOLE.namespaces
    assert forged.processes()[0].namespaces == Namespaces(pid=told.pid, user=told.user)
    assert forged.tally.counts() == {}


def test_a_kernel_without_namespaces_costs_the_field(forged: Any) -> None:
    """No link at all is a file that is missing, and a failure."""
    forged.tree.process(42)
    for name in Namespaces._fields:
        (forged.tree.root / "42/ns" / name).unlink()
    assert forged.processes() == [WHOLE._replace(namespaces=None)]
    assert forged.tally.counts() == {("proc ns", "ENOENT"): 1}


def test_esrch_is_an_end_too(forged: Any) -> None:
    """A file that was opened before its process ended says ESRCH."""
    forged.tree.process(42)
    forged.procfs.refused = {"io": errno.ESRCH}
    forged.procfs.vanish_at = (42, "io")
    assert forged.processes() == []


def test_an_odd_file_costs_its_own_fields(forged: Any) -> None:
    """What cannot be read is unknown and counted; its neighbours are there."""
    forged.tree.process(42, stat={10: "many", 14: "9" * 400})
    forged.tree.put("42/status", "Name:\tx\nUid:\t1\nVmSwap:\t1 MB\nThreads:\t1\n")
    forged.tree.put("42/cgroup", "nonsense")
    process = forged.processes()[0]
    assert (process.minor_faults, process.user_seconds, process.major_faults) == (None, None, 112)
    assert (process.uid, process.ruid, process.swap_bytes, process.cgroup) == (None, 1, None, None)
    assert forged.tally.counts() == {("proc stat", "EBADMSG"): 1, ("proc status", "EBADMSG"): 1}


def test_a_number_cut_off_is_no_number(forged: Any) -> None:
    """A last line without its newline is not believed."""
    forged.tree.process(42)
    forged.tree.put("42/io", "rchar: 1\nread_bytes: 12\nwrite_bytes: 34")
    process = forged.processes("read_bytes", "write_bytes")[0]
    assert (process.read_bytes, process.write_bytes) == (12, None)


def test_a_hidden_process_is_still_one(forged: Any) -> None:
    """hidepid=1 lists processes that cannot be looked into: only the pid is known."""
    forged.tree.process(42)
    forged.procfs.refused = {"42": errno.EPERM}
    assert forged.processes() == [Process(42)]
    assert forged.processes(op=ProcOp.UID, arg=1002) == []
    assert forged.tally.counts() == {("proc pid", "EPERM"): 2}


@pytest.mark.parametrize(
    ("op", "arg"),
    [
        (ProcOp.PID, 42),
        (ProcOp.PGRP, 105),
        (ProcOp.SESSION, 106),
        (ProcOp.TTY, 107),
        (ProcOp.UID, 1002),
        (ProcOp.RUID, 1001),
        (ProcOp.RGID, 2001),
        (ProcOp.GID, 2002),
    ],
)
@pytest.mark.parametrize("fields", [(), ("comm",)])
def test_processes_are_chosen(forged: Any, op: ProcOp, arg: int, fields: tuple[str, ...]) -> None:
    """Every op takes exactly what matches, also where its field was not asked for."""
    forged.tree.process(42)
    other = {"uid": 1, "ruid": 1, "gid": 1, "rgid": 1}
    forged.tree.process(43, stat={5: 1, 6: 1, 7: 1}, status=other)
    assert [process.pid for process in forged.processes(*fields, op=op, arg=arg)] == [42]
    assert forged.processes(*fields, op=op, arg=99) == []


@pytest.mark.parametrize("op", [ProcOp.ALL, ProcOp.PROC])
def test_all_processes_in_order(forged: Any, op: ProcOp) -> None:
    """Ascending by number, whatever the directory's order."""
    for pid in (100, 20, 3):
        forged.tree.process(pid)
    assert [process.pid for process in forged.processes("pid", op=op)] == [3, 20, 100]


def test_one_pid_reads_one_process(forged: Any) -> None:
    """Choosing a pid does not list the others."""
    forged.tree.process(42)
    forged.processes("ppid", op=ProcOp.PID, arg=42)
    assert "" not in forged.procfs.accesses


def test_a_thread_is_no_process(forged: Any) -> None:
    """/proc answers for a thread's number too, which names no process."""
    forged.tree.task("43", 42, 43, b"thread")
    assert forged.processes(op=ProcOp.PID, arg=43) == []


def test_threads_have_rows_of_their_own(forged: Any) -> None:
    """A row a thread: its own figures and name, its process's pid and comm."""
    forged.tree.process(42, b"main")
    forged.tree.thread(42, 42, b"main", stat={14: 100})
    forged.tree.thread(42, 44, b"worker", stat={14: 300}, status={"voluntary": 9})
    fields = ("comm", "thread_name", "user_seconds", "voluntary_switches")
    rows = forged.processes(*fields, threads=True)
    assert [(row.pid, row.tid, row.comm, row.thread_name) for row in rows] == [
        (42, 42, "main", "main"),
        (42, 44, "main", "worker"),
    ]
    assert [(row.user_seconds, row.voluntary_switches) for row in rows] == [(1.0, 16), (3.0, 9)]


def test_a_thread_that_ends_midway_is_left_out(forged: Any) -> None:
    """The process's other threads are given."""
    forged.tree.process(42)
    for tid in (42, 43):
        forged.tree.thread(42, tid)
    (forged.tree.root / "42/task/43/stat").unlink()
    (forged.tree.root / "42/task/43/status").unlink()
    assert [row.tid for row in forged.processes("uid", "ppid", threads=True)] == [42]


def test_a_process_that_ends_has_no_threads(forged: Any) -> None:
    """Neither as its threads are listed nor before."""
    for pid in (42, 43):
        forged.tree.process(pid)
        forged.tree.thread(pid, pid)
    forged.procfs.vanish_at = (42, "task")
    assert [row.pid for row in forged.processes("uid", threads=True)] == [43]
    forged.tree.process(44)
    forged.procfs.vanish_at = (44, "stat")
    assert [row.pid for row in forged.processes("comm", threads=True)] == [43]


def test_an_unknown_field_is_an_error_at_once(forged: Any) -> None:
    """A misspelt name is told before anything is read."""
    with pytest.raises(Unsupported, match="no field rss"):
        forged.system.processes(["pid", "rss"], ProcOp.PROC, 0, False)


def test_a_proc_that_cannot_be_listed_is_an_error(forged: Any) -> None:
    """Not being allowed to look is not the same as no processes."""
    forged.procfs.refused = {"": errno.EACCES}
    with pytest.raises(AccessDenied):
        forged.processes("pid")


def test_processes_are_read_as_they_are_asked_for(forged: Any) -> None:
    """The first is given before the last is opened."""
    for pid in range(1, 50):
        forged.tree.process(pid)
    rows = forged.system.processes(["ppid"], ProcOp.PROC, 0, False)
    assert next(rows).pid == 1
    assert "49" not in forged.procfs.accesses


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("0::/a.slice/b\n", "/a.slice/b"),
        ("9:name=systemd:/v1\n4:memory:/m\n0::/\n", "/v1"),
        ("4:memory:/m\n2:cpu,cpuacct:/c\n", "/m"),
        ("0::/with:colon (deleted)\n", "/with:colon (deleted)"),
        ("", None),
    ],
)
def test_the_cgroup_is_systemds(forged: Any, text: str, path: str | None) -> None:
    """Version 1's name=systemd, else version 2's, else the first hierarchy."""
    forged.tree.process(42)
    forged.tree.put("42/cgroup", text)
    assert forged.processes("cgroup")[0].cgroup == path


def test_no_limit_and_no_wait_channel_are_unknown(forged: Any) -> None:
    """``unlimited`` is no number, and 0 no function."""
    forged.tree.process(42, soft="unlimited")
    forged.tree.put("42/wchan", "0")
    process = forged.processes("max_open_files", "wait_channel")[0]
    assert (process.max_open_files, process.wait_channel) == (None, None)
