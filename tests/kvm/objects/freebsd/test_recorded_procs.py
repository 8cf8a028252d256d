"""Do recorded processes decode to what ps(1) and the real libkvm printed on that machine?"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from forge import freebsd_facts
from forge.sysctl import ForgedSysctl

from kvm_exporter.kvm.objects.freebsd import procs
from kvm_exporter.kvm.objects.model import Process, ProcOp
from kvm_exporter.kvm.tally import Tally

PAGE = 4096
LETTERS = {
    "D": "waiting",
    "W": "waiting",
    "S": "sleeping",
    "I": "sleeping",
    "R": "running",
    "T": "stopped",
    "Z": "zombie",
}
BUSY = ("hog", "ps", "sh")
"""Programs whose state may differ between two recordings."""


def processes(
    sysctl: ForgedSysctl, op: ProcOp = ProcOp.PROC, arg: int = 0, *, threads: bool = False
) -> list[Process]:
    """All fields of the processes of a recorded kernel."""
    return list(procs.from_live(sysctl, "amd64", Tally(), None, op, arg, threads))


def recorded(name: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """What libkvm printed for each getprocs, by op; lines that another line tore are left out."""
    op, rows = "", []
    for line in freebsd_facts.text(name).split("\n"):
        if line.startswith("getprocs "):
            if op:
                yield op, rows
            op, rows = line.split()[1], []
        elif line.startswith("proc {") and line.endswith("}"):
            rows.append(json.loads(line.removeprefix("proc ")))
    yield op, rows


def ps(form: str) -> list[dict[str, str]]:
    """Rows by heading, of a table that ps printed."""
    table = re.search(
        rf"^### {form}\n(.*\n)((?:[ \d].*\n)+)", freebsd_facts.text("tools.txt.gz"), re.MULTILINE
    )
    assert table
    headings = table[1].split()
    rows = [row.split() for row in table[2].splitlines()]
    # of two columns of one name the first is meant; a start time has blanks, so the last two
    # columns are counted from the end
    return [dict(reversed([*zip(headings, row, strict=False)])) | {"": row[-2]} for row in rows]


def shared(rows: list[dict[str, str]]) -> list[tuple[dict[str, str], Process]]:
    """Rows of ps with the process that root read, for those that both recordings have."""
    known = {process.pid: process for process in processes(freebsd_facts.sysctl("root"))}
    pairs = [(row, known[int(row["PID"])]) for row in rows if int(row["PID"]) in known]
    assert len(pairs) > 35
    return pairs


@pytest.mark.parametrize("name", ["libkvm-live-root.txt.gz", "libkvm-live-nobody-devnull.txt.gz"])
def test_every_field_is_what_libkvm_gave(name: str) -> None:
    """Each record that was kept decodes to the members that a C program printed of it."""
    seen = 0
    for op, rows in recorded(name):
        threads = op.endswith("INC_THREAD") or op == "KERN_PROC_ALL"
        sysctl = freebsd_facts.sysctl("root")
        for row in rows:
            if "raw" in row:
                answer = bytes.fromhex(row["raw"])
                sysctl.answers["kern.proc.proc_td" if threads else "kern.proc.proc"] = answer
                (process,) = processes(sysctl, threads=threads)
                _same(row, process, threads=threads)
                seen += 1
    assert seen > 5


@pytest.mark.parametrize("threads", [False, True])
def test_the_same_processes_are_what_libkvm_listed(threads: bool) -> None:
    """A minute apart, what does not change of a process is what libkvm said of it."""
    op = "KERN_PROC_ALL" if threads else "KERN_PROC_PROC"
    listed = dict(recorded("libkvm-live-root.txt.gz"))[op]
    found = processes(freebsd_facts.sysctl("root"), ProcOp.ALL if threads else ProcOp.PROC)
    known = {(row.pid, row.tid, row.start_seconds): row for row in found}
    seen = 0
    for row in listed:
        key = (row["pid"], row["tid"] if threads else None, row["start"])
        if key in known:
            process = known[key]
            seen += 1
            assert (process.comm, process.ppid, process.uid, process.sid) == (
                row["comm"],
                row["ppid"],
                row["uid"],
                row["sid"],
            )
            assert (process.emulation or "", process.login_class) == (
                row["emul"],
                row["loginclass"],
            )
            assert not threads or process.thread_name == row["tdname"] + row["moretdname"]
    assert seen >= len(listed) - 5


def _same(row: dict[str, Any], process: Process, *, threads: bool) -> None:
    plain = {
        "pid": process.pid,
        "ppid": process.ppid,
        "pgid": process.pgid,
        "sid": process.sid,
        "tpgid": process.tpgid or 0,
        "uid": process.uid,
        "ruid": process.ruid,
        "svuid": process.svuid,
        "rgid": process.rgid,
        "svgid": process.svgid,
        "ngroups": len(process.groups or ()),
        "size": process.virtual_bytes,
        "rssize": (process.resident_bytes or 0) / PAGE,
        "tsize": (process.text_bytes or 0) / PAGE,
        "dsize": (process.data_bytes or 0) / PAGE,
        "ssize": (process.stack_bytes or 0) / PAGE,
        "pctcpu": (process.percent_cpu or 0) * 2048 / 100,
        "cow": process.cow_faults,
        "flag": process.flags,
        "nice": process.nice,
        "oncpu": -1 if process.cpu is None else process.cpu,
        "lastcpu": -1 if process.last_cpu is None else process.last_cpu,
        "fibnum": process.fib,
        "jid": process.jail,
        "numthreads": process.threads,
        "tdev": 2**64 - 1 if process.tty is None else process.tty,
        "paddr": f"{process.address:#x}",
        "wchan": f"{process.wait_address or 0:#x}",
        "nvcsw": process.voluntary_switches,
        "nivcsw": process.involuntary_switches,
        "minflt": process.minor_faults,
        "majflt": process.major_faults,
        "comm": process.comm,
        "wmesg": process.wait_channel or "",
        "lockname": process.lock_name or "",
        "login": process.login or "",
        "emul": process.emulation or "",
        "loginclass": process.login_class or "",
    }
    assert plain == {name: row[name] for name in plain}
    assert row["pri"][:2] == [process.priority_class, process.priority]
    assert process.run_seconds == pytest.approx(row["runtime"] / 1e6)
    assert process.start_seconds == pytest.approx(row["start"], abs=1e-6)
    assert process.user_seconds == pytest.approx(row["utime"], abs=1e-6)
    assert process.system_seconds == pytest.approx(row["stime"], abs=1e-6)
    assert process.tid == (row["tid"] if threads else None)
    if threads:
        assert process.thread_name == row["tdname"] + row["moretdname"]
    assert process.exit_status == (row["xstat"] if row["stat"] == 5 else None)
    assert process.sleep_seconds == (row["slptime"] if row["stat"] in (3, 4) else None)


def test_processes_are_what_ps_listed() -> None:
    """Parent, user, command, state letter and thread count are ps -ax's."""
    for row, process in shared(ps("ps")):
        assert (process.ppid, process.uid, process.comm, process.threads) == (
            int(row["PPID"]),
            int(row["UID"]),
            row["COMMAND"],
            int(row["NLWP"]),
        )
        if process.comm not in BUSY:
            assert process.state == LETTERS[row["STAT"][0]], row


def test_identities_and_sizes_are_what_ps_listed() -> None:
    """The long form of ps: groups, sessions, ids, jail, flags, nice, sizes and start."""
    for row, process in shared(ps("ps2")):
        assert [
            process.pgid,
            process.sid,
            process.tsid or 0,
            process.uid,
            process.ruid,
            process.svuid,
            process.rgid,
            process.svgid,
            process.jail,
            process.nice,
        ] == [
            int(row[heading])
            for heading in (
                "PGID",
                "SID",
                "TSID",
                "UID",
                "RUID",
                "SVUID",
                "RGID",
                "SVGID",
                "JID",
                "NI",
            )
        ]
        assert process.flags == int(row["F"], 16)
        if process.comm not in BUSY:
            assert process.virtual_bytes == int(row["VSZ"]) * 1024
            assert process.resident_bytes == int(row["RSS"]) * 1024
            assert process.priority is not None
            # ps counts from PRI_MIN_TIMESHARE (scalepri in bin/ps/print.c)
            assert (process.priority - 56 == int(row["PRI"])) or process.state == "running"
            assert (process.wait_channel or "-").startswith(row[""])


def test_threads_are_what_ps_listed() -> None:
    """Ids, names and wait channels are those of ps -H."""
    rows = processes(freebsd_facts.sysctl("root"), ProcOp.ALL)
    known = {row.tid: row for row in rows}
    assert len(known) == len(rows) == 101
    seen = 0
    table = freebsd_facts.text("tools.txt.gz").split("### psH\n")[1].split("### ")[0]
    for line in table.split("\n")[1:]:
        found = re.match(r" *(\d+) (\d{6}) (.*\S) +(\S+) +(\S+)$", line)
        if found and int(found[2]) in known:
            row = known[int(found[2])]
            if row.pid != int(found[1]):
                continue
            assert row.thread_name in found[3] or row.comm in found[3]
            seen += 1
    assert seen > 90


def test_all_and_proc_with_threads_are_the_same_rows() -> None:
    """kern.proc.all, and kern.proc.proc with INC_THREAD, list the same threads."""
    sysctl = freebsd_facts.sysctl("root")
    everything = {row.tid for row in processes(sysctl, ProcOp.ALL)}
    assert everything == {row.tid for row in processes(sysctl, threads=True)}


def test_choices_are_the_kernels() -> None:
    """By PID, user, group and terminal the recorded kernel's own lists come back."""
    sysctl = freebsd_facts.sysctl("root")
    assert [row.pid for row in processes(sysctl, ProcOp.PID, 77)] == [77]
    assert [row.pid for row in processes(sysctl, ProcOp.PGRP, 1)] == [1]
    assert {row.uid for row in processes(sysctl, ProcOp.UID, 0)} == {0}
    assert {row.ruid for row in processes(sysctl, ProcOp.RUID, 65534)} == {65534}
    assert {row.gid for row in processes(sysctl, ProcOp.GID, 0)} == {0}
    assert {row.rgid for row in processes(sysctl, ProcOp.RGID, 0)} == {0}
    assert processes(sysctl, ProcOp.TTY, 0) == []
    assert processes(sysctl, ProcOp.PID, 99999) == []
    assert {row.pid for row in processes(sysctl, ProcOp.PID, 78, threads=True)} == {78}


def test_an_unprivileged_user_sees_what_the_kernel_shows() -> None:
    """As nobody every process is there; with see_other_uids=0 only nobody's own are."""
    assert {row.uid for row in processes(freebsd_facts.sysctl("nobody"))} == {0, 65534}
    hidden = processes(freebsd_facts.sysctl("nobody-hidden"))
    assert [row.uid for row in hidden] == [65534, 65534]
    assert processes(freebsd_facts.sysctl("nobody-hidden"), ProcOp.PID, 1) == []


def test_open_files_are_counted_on_request() -> None:
    """Asked for by name, each process has its rows of kern.file; those without have none open."""
    sysctl = freebsd_facts.sysctl("root")
    wanted = ["comm", "open_files"]
    rows = list(procs.from_live(sysctl, "amd64", Tally(), wanted, ProcOp.PROC, 0, False))
    assert sum(row.open_files or 0 for row in rows) == 10624 // 128
    assert {row.open_files for row in rows if row.comm in ("kernel", "idle")} == {0}


@pytest.mark.parametrize(
    ("answer", "name"), [(1, "EPERM"), ((136).to_bytes(8, "little") * 17, "unknown")]
)
def test_files_that_cannot_be_counted_are_unknown(answer: bytes | int, name: str) -> None:
    """A kern.file that is refused, or of another release, costs the count alone, and is tallied."""
    sysctl = freebsd_facts.sysctl("root")
    sysctl.answers["kern.file"] = answer
    tally = Tally()
    rows = list(procs.from_live(sysctl, "amd64", tally, ["open_files"], ProcOp.PROC, 0, False))
    assert {row.open_files for row in rows} == {None}
    assert tally.counts() == {("kern.file", name): 1}
