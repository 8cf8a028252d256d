"""Is a process that has not run left alone, and any other read anew?"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from kvm_exporter.kvm.objects.linux import open_live
from kvm_exporter.kvm.objects.system import System

PID = 42
DEAR = ("status", "io", "wchan")
FIELDS = (
    *("state", "voluntary_switches", "write_bytes", "wait_channel"),
    *("open_files", "max_open_files", "cgroup"),
)
SLEEPING = {20: 1}


def put(forged: Any, schedstat: str | None = "1000 20 3\n", **more: Any) -> None:
    """A process of one sleeping thread, or what ``more`` makes of it."""
    forged.tree.process(PID, **{"stat": SLEEPING, **more})
    if schedstat is not None:
        forged.tree.put(f"{PID}/schedstat", schedstat)


def read_again(forged: Any, *fields: str) -> tuple[Any, set[str]]:
    """A process as it is read now, and which dear files that took."""
    forged.procfs.accesses.clear()
    (row,) = forged.processes(*(fields or FIELDS))
    return row, set(DEAR).intersection(forged.procfs.accesses)


def change_dear_files(forged: Any) -> None:
    """Other figures in the files that only the process itself can change."""
    forged.tree.put(f"{PID}/io", "rchar: 1\nread_bytes: 1\nwrite_bytes: 777\n")
    forged.tree.put(f"{PID}/wchan", "do_other")


def test_what_has_not_run_is_not_read_again(forged: Any) -> None:
    """The same schedstat and stat: the same process, without its dear files."""
    put(forged)
    first, dear = read_again(forged)
    assert dear == set(DEAR)
    for _ in range(3):
        assert read_again(forged) == (first, set())


@pytest.mark.parametrize("schedstat", ["1001 20 3\n", "1000 20 4\n", "1000 21 3\n"])
def test_what_has_run_is_read_again(forged: Any, schedstat: str) -> None:
    """A nanosecond, a turn or a wait for one: everything is read, and the new figures told."""
    put(forged)
    read_again(forged)
    forged.tree.put(f"{PID}/schedstat", schedstat)
    change_dear_files(forged)
    row, dear = read_again(forged)
    assert (row.write_bytes, row.wait_channel, dear) == (777, "do_other", set(DEAR))


def test_a_changed_stat_is_read_again(forged: Any) -> None:
    """What others did to it, as taking pages away, is seen in stat."""
    put(forged)
    read_again(forged)
    forged.tree.put(
        f"{PID}/stat",
        (forged.tree.root / str(PID) / "stat").read_bytes().replace(b" 124 ", b" 99 "),
    )
    change_dear_files(forged)
    row, dear = read_again(forged)
    assert (row.write_bytes, dear) == (777, set(DEAR))


def test_what_others_change_is_always_read(forged: Any) -> None:
    """The limit of descriptors and the control group are news even of a sleeper."""
    put(forged)
    read_again(forged)
    forged.tree.put(f"{PID}/cgroup", "0::/moved.slice\n")
    limits = forged.tree.root / str(PID) / "limits"
    limits.write_text(limits.read_text().replace("1024", "2048"))
    row, dear = read_again(forged)
    assert (row.cgroup, row.max_open_files) == ("/moved.slice", 2048)
    assert dear == set()


@pytest.mark.parametrize(
    "process",
    [
        {"stat": {20: 2}},
        {"stat": {20: 1, 3: "R"}},
        {"schedstat": "0 0 0\n"},
        {"schedstat": None},
    ],
    ids=["two threads", "running", "not counted", "no schedstat"],
)
def test_what_cannot_be_known_to_rest_is_always_read(forged: Any, process: Any) -> None:
    """More threads, a running one, or a kernel that does not count: every file, every time."""
    put(forged, **process)
    read_again(forged)
    change_dear_files(forged)
    row, dear = read_again(forged)
    assert (row.write_bytes, dear) == (777, set(DEAR))


def test_a_walk_leaves_nothing_behind(forged: Any) -> None:
    """What one walk remembers is freed with the next, without the cyclic garbage collector."""
    put(forged)
    forged.processes(*FIELDS)
    gc.collect()
    forged.processes(*FIELDS)
    assert gc.collect() == 0


def test_other_fields_are_read(forged: Any) -> None:
    """What was remembered for some fields does not answer for others."""
    put(forged)
    read_again(forged, "write_bytes")
    row, dear = read_again(forged, "write_bytes", "wait_channel")
    assert (row.wait_channel, dear) == ("do_forge", {"io", "wchan"})


def test_a_process_that_ended_is_forgotten(forged: Any) -> None:
    """A walk without it, and its successor of the same number is read whole."""
    put(forged)
    forged.tree.process(43)
    assert len(forged.processes(*FIELDS)) == 2
    (forged.tree.root / str(PID)).rename(forged.tree.root / "away")
    assert [row.pid for row in forged.processes(*FIELDS)] == [43]
    (forged.tree.root / "away").rename(forged.tree.root / str(PID))
    forged.procfs.accesses.clear()
    forged.processes(*FIELDS)
    assert forged.procfs.accesses.count("status") == 2


@pytest.fixture
def live() -> System:
    """This machine."""
    return open_live(None, write=False).system


CHILD = """
import os, sys
for line in sys.stdin:
    with open(sys.argv[1], "ab") as file:
        file.write(bytes(1 << 20))
        os.fsync(file.fileno())
    print("done", flush=True)
"""


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A child of one thread that writes a MiB when it is sent a line, and else sleeps."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "file")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        yield child
        child.kill()


def test_a_sleeper_that_woke_is_seen(live: System, sleeper: subprocess.Popen[str]) -> None:
    """On this kernel: what a process did between two walks is in the second, as psutil has it."""
    for _ in range(3):
        print("write", file=sleeper.stdin, flush=True)
        assert sleeper.stdout.readline() == "done\n"
        while psutil.Process(sleeper.pid).status() == psutil.STATUS_RUNNING:
            os.sched_yield()
        walk = live.processes(FIELDS, 0, 0, False)
        row = next(row for row in walk if row.pid == sleeper.pid)
        other = psutil.Process(sleeper.pid)
        assert row.voluntary_switches == other.num_ctx_switches().voluntary
        assert row.write_bytes == other.io_counters().write_bytes
