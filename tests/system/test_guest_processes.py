"""Processes of real Linux kernels from their memory: are they what /proc said in the guest?"""

from __future__ import annotations

import pytest
from system.guests import told
from system.guests.moved import differences, has_run, is_worker
from system.guests.recipes import RECIPES
from system.guests.seen import look

pytestmark = [
    pytest.mark.system,
    pytest.mark.parametrize("guest", [recipe.name for recipe in RECIPES], indirect=True),
]


@pytest.fixture
def seen(guest):
    """The objects of the guest's plainest core."""
    return look(guest.cores[guest.recipe.forms[0]], guest.kernel)


@pytest.fixture
def rows(guest, seen):
    """Processes both told and seen: (what was told, the Process).

    Before Linux 5.16 x86 tells no wait channel at all (42a20f86dc19): there is none to compare.
    """
    size = guest.truth.page_size
    pids = sorted(set(guest.truth.pids()) & seen.processes.keys())
    values = [told.process(guest.truth, pid, size) for pid in pids]
    if not any(value["wait_channel"] for value in values):
        values = [{**value, "wait_channel": seen.processes[pid].wait_channel}
                  for pid, value in zip(pids, values, strict=True)]  # fmt: skip
    return [(value, seen.processes[pid]) for pid, value in zip(pids, values, strict=True)]


def settled(truth, seen):
    """The processes of the population: all programs but init."""
    return [pid for pid in truth.pids() if pid != 1 and truth.stat(pid)[4] != "2" and pid != 2]


def test_all_are_there(guest, seen):
    """Every process is found and no other, but for workers of the kernel, which come and go."""
    names = {pid: guest.truth.stat(pid)[2] for pid in guest.truth.pids()}
    names |= {pid: process.comm for pid, process in seen.processes.items()}
    odd = set(guest.truth.pids()) ^ seen.processes.keys()
    assert [names[pid] for pid in odd if not is_worker(names[pid])] == []


def test_fields(rows):
    """Every field of every process is as told, or as it may have become."""
    odd = {row.pid: differences(row, values) for values, row in rows}
    assert {pid: fields for pid, fields in odd.items() if fields} == {}


def test_population_rests(guest, rows, seen):
    """The programs of the population did not run after their truth: they are compared exactly."""
    population = set(settled(guest.truth, seen))
    ran = [row.pid for values, row in rows if row.pid in population and has_run(row, values)]
    assert len(population) > 20
    assert ran == []


def test_population_is_odd(guest, seen):
    """What makes the population worth reading is in it: the reader saw each of these."""
    of = {seen.arguments[pid][-1]: seen.processes[pid] for pid in settled(guest.truth, seen)
          if seen.arguments[pid]}  # fmt: skip
    assert (of["user"].uid, of["user"].gid, of["user"].nice) == (1234, 56, 7)
    assert (of["high"].uid, of["high"].nice) == (99, -5)
    assert of["leader"].sid == of["leader"].pid == of["leader"].pgid
    assert of["leader"].tty is not None
    assert of["stopped"].state == "stopped"
    assert of["comm"].comm == "odd) (name"
    assert of["grouped"].cgroup == "/group/inner"
    assert of["third"].threads == 4
    assert of["disk"].read_bytes > 0
    assert of["disk"].write_bytes > 0
    assert "zombie" in {process.state for process in seen.processes.values()}


def test_threads(guest, seen):
    """Every thread has its own name, numbers and times."""
    size = guest.truth.page_size
    odd = {}
    for pid in settled(guest.truth, seen):
        for tid in guest.truth.threads(pid):
            values = told.process(guest.truth, pid, size, tid)
            if found := differences(seen.threads[pid, tid], values):
                odd[pid, tid] = found
    assert odd == {}
    names = {row.thread_name for row in seen.threads.values()}
    assert {"stage", "first", "second one", "third"} <= names


def test_arguments(guest, seen):
    """Arguments are read from the processes' own memory: empty ones, any bytes, many pages."""
    vectors = {pid: told.vector(guest.truth, pid, "cmdline") for pid in seen.arguments}
    assert seen.arguments == vectors
    assert max(sum(map(len, vector)) for vector in vectors.values()) > 8192


def test_environment(guest, seen):
    """So are environments."""
    vectors = {pid: told.vector(guest.truth, pid, "environ") for pid in seen.environment}
    assert seen.environment == vectors
    assert ("ONE=1", "SPACED=two words", "EMPTY=", "LATIN=caf\udce9") in vectors.values()


def test_executables(guest, seen):
    """The program of each process, by its path."""
    links = {pid: guest.truth.links.get(f"/proc/{pid}/exe") for pid in seen.executables}
    assert seen.executables == links


def test_namespaces(guest, seen):
    """Each namespace of each process, by the number of its inode."""
    odd = {}
    for pid in settled(guest.truth, seen):
        process = seen.processes[pid]
        ours = {} if process.namespaces is None else process.namespaces._asdict()
        found = {name: number for name, number in ours.items() if number is not None}
        if found != told.namespaces(guest.truth, pid):
            odd[pid] = found, told.namespaces(guest.truth, pid)
    assert odd == {}


def test_open_files(guest, seen):
    """Each descriptor, and the path of what it is open on."""
    odd = {}
    for pid in settled(guest.truth, seen):
        found = {file.fd: file.path for file in seen.open_files if file.pid == pid}
        if found != told.descriptors(guest.truth, pid):
            odd[pid] = found, told.descriptors(guest.truth, pid)
    assert odd == {}
