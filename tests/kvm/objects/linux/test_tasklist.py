"""Are a dead kernel's tasks found, however its lists are damaged?"""

from __future__ import annotations

import pytest
from fakes.world import target
from forge import cdecl
from forge.linux_structs import MODERN, OLD
from forge.linux_tasks import Tasks
from forge.world import World

from kvm_exporter.kvm.errors import KvmError, ProcessGone
from kvm_exporter.kvm.objects.linux.idr import Idr
from kvm_exporter.kvm.objects.linux.tasklist import TaskList

KERNELS = [
    pytest.param(MODERN, cdecl.AMD64, id="modern"),
    pytest.param(OLD, cdecl.POWERPC, id="old"),
]
PIDS = [1, 2, 63, 64, 65, 4095, 4096, 300_000]
FAULTS = ("struct task_struct", "unknown")


def population(kernel: str, abi: cdecl.Abi) -> Tasks:
    """Processes with numbers at the edges of the table's nodes; 64 has three threads."""
    people = Tasks(World(kernel, abi))
    for pid in PIDS:
        people.task(pid)
    people.task(70, tgid=64)
    people.task(66, tgid=64)
    return people.finish()


def pids(people: Tasks) -> list[int]:
    """Of the processes."""
    return [task.pid for task in TaskList(target(people.world)).processes()]


@pytest.mark.parametrize(("kernel", "abi"), KERNELS)
def test_whole_lists_are_told_whole(kernel: str, abi: cdecl.Abi) -> None:
    """Every process, and every thread of each, by rising number; nothing is counted."""
    dead = target(population(kernel, abi).world)
    tasks = TaskList(dead)
    found = tasks.processes()
    assert [task.pid for task in found] == PIDS
    assert [task.pid for task in tasks.threads(found[3])] == [64, 66, 70]
    assert [task.pid for task in tasks.threads(found[2])] == [63]
    assert dead.tally.counts() == {}


@pytest.mark.parametrize(("kernel", "abi"), KERNELS)
@pytest.mark.parametrize("pid", [*PIDS, 66, 70])
def test_a_task_is_found_by_its_number(kernel: str, abi: cdecl.Abi, pid: int) -> None:
    """Processes' and threads' alike."""
    found = TaskList(target(population(kernel, abi).world)).find(pid)
    assert (found.pid, found.tgid) == (pid, 64 if pid in (66, 70) else pid)


@pytest.mark.parametrize("pid", [0, -1, 3, 67, 300_001, 2**40])
def test_who_is_not_there_is_not_found(pid: int) -> None:
    """The idle task is no process."""
    with pytest.raises(ProcessGone, match=f"no process {pid} "):
        TaskList(target(population(MODERN, cdecl.AMD64).world)).find(pid)


DAMAGES = {
    "null": 0,
    "unmapped": 0x10,
    "odd": 0xFFFF_FFFF,
    "itself": None,
}


@pytest.mark.parametrize(("kernel", "abi"), KERNELS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_list_loses_nobody(kernel: str, abi: cdecl.Abi, damage: str) -> None:
    """What a list has lost, the table of pids has; the damage is counted."""
    people = population(kernel, abi)
    broken, at = people.tasks[64], DAMAGES[damage]
    broken.put("tasks.next", broken.at("tasks") if at is None else at)
    broken.put("thread_node.next", broken.at("thread_node") if at is None else at)
    dead = target(people.world)
    tasks = TaskList(dead)
    found = tasks.processes()
    assert [task.pid for task in found] == PIDS
    assert [task.pid for task in tasks.threads(found[3])] == [64, 66, 70]
    assert dead.tally.counts()[FAULTS] >= 2


def test_a_list_that_leads_elsewhere_is_no_list_of_tasks() -> None:
    """An element whose numbers cannot be a process's ends it, and is not told."""
    people = population(MODERN, cdecl.AMD64)
    foreign = people.world.new("struct task_struct", pid=5_000_000, tgid=5_000_000)
    people.tasks[63].put("tasks.next", foreign.at("tasks"))
    assert pids(people) == PIDS
    thread = people.tasks[66]
    people.tasks[63].put("tasks.next", thread.at("tasks"))
    assert pids(people) == PIDS


def test_without_the_table_what_is_left_is_told() -> None:
    """Both damaged: the processes before the damage, by number or listed."""
    people = population(MODERN, cdecl.AMD64)
    people.tasks[64].put("tasks.next", 0)
    people.namespace.put("idr.idr_rt.xa_head", 0x12)
    assert pids(people) == [1, 2, 63, 64]
    tasks = TaskList(target(people.world))
    assert tasks.find(63).pid == 63
    with pytest.raises(ProcessGone):
        tasks.find(4096)
    with pytest.raises(ProcessGone):
        tasks.find(66)


def test_without_a_symbol_of_the_table_the_list_is_enough() -> None:
    """Kernels that do not tell init_pid_ns."""
    people = population(MODERN, cdecl.AMD64)
    symbols = people.world.symbols
    symbols[:] = [one for one in symbols if one.name != "init_pid_ns"]
    assert pids(people) == PIDS
    assert TaskList(target(people.world)).find(4096).pid == 4096


def test_the_tables_base_is_counted_in() -> None:
    """Struct idr's idr_base: what lies at 0 has that number."""
    people = population(MODERN, cdecl.AMD64)
    people.namespace.put("idr.idr_base", 7)
    table = Idr(target(people.world), people.namespace.at("idr"))
    assert [number for number, _ in table.entries()] == [pid + 7 for pid in sorted(people.pids)]
    assert table.find(8) == people.pids[1].address


@pytest.mark.parametrize(("kernel", "abi"), KERNELS)
def test_a_tree_of_one_has_no_node(kernel: str, abi: cdecl.Abi) -> None:
    """Entry 0 lies in the root itself."""
    people = Tasks(World(kernel, abi))
    root = "idr.idr_rt.xa_head" if people.modern else "idr.idr_rt.rnode"
    thing = people.world.new("struct pid")
    people.namespace.put(root, thing)
    table = Idr(target(people.world), people.namespace.at("idr"))
    assert list(table.entries()) == [(0, thing.address)]
    assert (table.find(0), table.find(1)) == (thing.address, 0)


@pytest.mark.parametrize("shift", [0, 6, 12, 60, 255])
def test_a_tree_in_circles_ends(shift: int) -> None:
    """A node below itself, however deep it says that it is."""
    people = population(MODERN, cdecl.AMD64)
    root = people.namespace.get("idr.idr_rt.xa_head")
    people.world.write(root - 2, bytes([shift]))
    people.world.write(
        people.world.place("struct xa_node", "slots[9]").offset + root - 2,
        people.world.pointer(root),
    )
    dead = target(people.world)
    table = Idr(dead, people.namespace.at("idr"))
    assert len(list(table.entries())) <= len(people.pids)
    assert table.find(9 << 12) in (0, *[one.address for one in people.pids.values()])


def test_every_error_is_the_packages_own() -> None:
    """A table of pids that lies nowhere."""
    people = population(MODERN, cdecl.AMD64)
    with pytest.raises(KvmError):
        Idr(target(people.world), 0x1000)
