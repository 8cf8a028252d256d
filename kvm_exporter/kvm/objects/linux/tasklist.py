"""Where are a dead kernel's processes, and their threads?  Addresses of struct task_struct.

1. init_task.tasks links every process's first thread, those that ended and were not waited for
   among them; signal->thread_head every thread of a process (since 3.14; 6.7 took away the older
   thread_group, 8e1f385104ac).  The idle tasks, of pid 0, are in neither.
2. Where such a list is damaged, the table of pids (init_pid_ns.idr, since 4.15) has what it lost:
   each pid leads to its task.
3. Processes are told by rising pid, threads by rising tid, as /proc lists them.

Sources: include/linux/sched.h, include/linux/sched/signal.h, include/linux/pid.h.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from kvm_exporter.kvm.errors import Fault, KvmError, ProcessGone
from kvm_exporter.kvm.objects.linux.idr import Idr
from kvm_exporter.kvm.objects.structs import Struct
from kvm_exporter.kvm.target import Target

TASK = "struct task_struct"

MOST_PIDS = 1 << 22
"""PID_MAX_LIMIT of 64-bit kernels (include/linux/threads.h)."""


class Task(NamedTuple):
    """A thread; its process's first one where ``pid`` is ``tgid``.

    ``last``: no thread of its process comes after it, so that a first one is the only one.
    """

    pid: int
    tgid: int
    address: int
    last: bool


class TaskList:
    """The tasks of ``target``.  Errors: SymbolMissing, TypeMissing, Fault."""

    def __init__(self, target: Target) -> None:
        self._target = target
        target.types.find(TASK)  # which tells best why there are no types at all
        members = ("tasks.next", "thread_node.next", "pid", "tgid", "signal")
        self._task = Struct.whole(target, TASK, members)
        self._tasks = target.offset(TASK, "tasks")
        self._thread = target.offset(TASK, "thread_node")
        self._threads = target.offset("struct signal_struct", "thread_head")
        self._first = target.address("init_task")

    def processes(self) -> list[Task]:
        """The first thread of each process; Fault where not one of them is to be found."""
        found: dict[int, Task] = {}
        damage = self._follow(self._first + self._tasks, self._tasks, 0, found)
        if damage:
            lost = (one for one in self._by_pid if one.pid == one.tgid)
            found |= {one.address: one for one in lost}
            if not found:
                raise damage
        return sorted(found.values())

    def threads(self, process: Task) -> list[Task]:
        """Every thread of a process, the one it was told by among them."""
        if process.last:
            return [process]
        found = {process.address: process}
        damage: KvmError | None
        try:
            row = self._task.values(process.address)
            signal = row["signal"] if row else 0
            damage = self._follow(signal + self._threads, self._thread, process.tgid, found)
        except KvmError as error:
            damage = error
        if damage:
            lost = (one for one in self._by_pid if one.tgid == process.tgid)
            found |= {one.address: one for one in lost}
        return sorted(found.values())

    def find(self, pid: int) -> Task:
        """The thread of that number, or the process; ProcessGone if there is none."""
        found = self._looked_up(pid) or next((t for t in self.processes() if t.pid == pid), None)
        if found is None:
            raise ProcessGone(f"there is no process {pid} in this dump")
        return found

    def _looked_up(self, pid: int) -> Task | None:
        try:
            address = self._pids.task(self._pids.table.find(pid)) if pid > 0 else 0
            found = self._at(address) if address else None
        except KvmError:
            return None
        return found if found and found.pid == pid else None

    def _follow(self, head: int, member: int, tgid: int, found: dict[int, Task]) -> Fault | None:
        """Add a list's tasks, of process ``tgid`` (0: all first threads); where it is damaged."""
        after = 0 if member == self._tasks else 1
        mask = self._target.abi.address_mask
        seen: set[int] = set()
        try:
            node = self._target.pointer(head & mask)
            while node != head & mask:
                address = node - member & mask
                row = None if address in seen or len(seen) >= MOST_PIDS else self._read(address)
                if row is None or row[3] != (tgid or row[2]):
                    raise Fault(address, "no task of this list")
                seen.add(address)
                found[address] = self._task_of(address, row)
                node = row[after]
        except Fault as fault:
            self._target.tally.add(TASK, None)
            return fault
        return None

    def _read(self, address: int) -> tuple[int, ...] | None:
        """The members; None of what cannot be a task."""
        row = self._task.at(address)
        return row if row and 0 < row[2] < MOST_PIDS and 0 < row[3] < MOST_PIDS else None

    def _at(self, address: int) -> Task | None:
        row = self._read(address)
        return self._task_of(address, row) if row else None

    def _task_of(self, address: int, row: tuple[int, ...]) -> Task:
        _, after, pid, tgid, signal = row
        return Task(pid, tgid, address, after == signal + self._threads)

    @cached_property
    def _pids(self) -> _Pids:
        return _Pids(self._target)

    @cached_property
    def _by_pid(self) -> list[Task]:
        """Every task that the table of pids leads to."""
        try:
            return list(self._of_table())
        except KvmError:
            self._target.tally.add("struct pid_namespace", None)
            return []

    def _of_table(self) -> Iterator[Task]:
        for number, pid in self._pids.table.entries():
            address = self._pids.task(pid)
            found = self._at(address) if address else None
            if found and found.pid == number:
                yield found


class _Pids:
    """The table of pids, and the way from a struct pid to its task."""

    def __init__(self, target: Target) -> None:
        self._target = target
        namespace = target.address("init_pid_ns")
        self.table = Idr(target, namespace + target.offset("struct pid_namespace", "idr"))
        self._first = target.offset("struct pid", "tasks")
        if target.has(TASK, "pid_links"):
            self._link = target.offset(TASK, "pid_links")
        else:  # until 4.19 (2c4704756cab)
            self._link = target.offset(TASK, "pids") + target.offset("struct pid_link", "node")

    def task(self, pid: int) -> int:
        """The address of the task of a struct pid (PIDTYPE_PID is 0); 0 for none."""
        if not pid:
            return 0
        try:
            node = self._target.pointer(pid + self._first)
        except Fault:
            self._target.tally.add("struct pid", None)
            return 0
        return node - self._link & self._target.abi.address_mask if node else 0
