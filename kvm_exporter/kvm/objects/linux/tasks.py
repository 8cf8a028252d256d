"""What processes does a dead Linux have?  Its memory, as /proc of the same kernel would tell them.

1. Tasks are met chunk by chunk, each one's structs read once, and turned into columns, from which
   rules (taskrules.py) work out the fields that are wanted, and no others.
2. A task that cannot be read is left out; what of it cannot be read is None.  Both are counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice, repeat
from operator import add

from kvm_exporter.kvm.errors import ProcessGone
from kvm_exporter.kvm.objects.columns import Column, Columns, table
from kvm_exporter.kvm.objects.linux.procs import Choice
from kvm_exporter.kvm.objects.linux.taskfill import Machine
from kvm_exporter.kvm.objects.linux.tasklist import TASK, Task, TaskList
from kvm_exporter.kvm.objects.linux.taskrules import needed, rules
from kvm_exporter.kvm.objects.linux.tasksources import OF_THREADS, SOURCES
from kvm_exporter.kvm.objects.linux.tasksources import TASK as MEMBERS
from kvm_exporter.kvm.objects.model import Process, ProcOp
from kvm_exporter.kvm.objects.sources import column_of, open_sources
from kvm_exporter.kvm.objects.structs import Row, Struct
from kvm_exporter.kvm.target import Target

CHUNK = 512
"""Tasks that are worked on together: enough to amortise, few enough to take little memory."""


def from_memory(
    target: Target, page_size: int, boot_seconds: float | None, choice: Choice
) -> Iterator[Process]:
    """As procs.from_live, of a dead kernel: what it would have told the host's root.

    What cannot be read is left out and counted in the target's tally.  Errors: Unsupported, at
    once, for a field that Process does not have; SymbolMissing, TypeMissing and Fault where the
    kernel does not tell where its processes are, or what they look like.
    """
    tasks = TaskList(target)
    reader = TaskReader(target, tasks, page_size, boot_seconds, choice)
    some = _process(tasks, choice.arg) if choice.op == ProcOp.PID else tasks.processes()
    found = chain.from_iterable(map(tasks.threads, some)) if choice.threads else some
    return filter(choice.has, reader.read(found))


def _process(tasks: TaskList, pid: int) -> list[Task]:
    """The process of that pid, if there is one; a thread's number is none."""
    try:
        found = tasks.find(pid)
    except ProcessGone:
        return []
    return [found] if found.pid == found.tgid else []


class TaskReader:
    """Reads tasks into Process values with the fields of ``choice``, and their numbers."""

    def __init__(
        self, target: Target, tasks: TaskList, page_size: int, boot: float | None, choice: Choice
    ) -> None:
        self._list = tasks
        self._fields = choice.names() | {"pid"} | ({"tid"} if choice.threads else set())
        self._rules = rules(target, threads=choice.threads)
        wanted = needed(self._rules, self._fields)
        members = [one for one in MEMBERS if f"task.{column_of(one)}" in wanted]
        self._task = Struct(target, TASK, members)
        summed = [one for one in OF_THREADS if f"threads.{one}" in wanted]
        self._summed = Struct(target, TASK, summed)
        self._sources = open_sources(target, SOURCES, wanted)
        self._machine = Machine(target, page_size, boot)

    def read(self, tasks: Iterable[Task]) -> Iterator[Process]:
        """Each task that can be read, in that order."""
        waiting = iter(tasks)
        while some := list(islice(waiting, CHUNK)):
            rows = [(task, self._task.at(task.address)) for task in some]
            yield from self._made([(task, row) for task, row in rows if row is not None])

    def _made(self, found: Sequence[tuple[Task, Row]]) -> Iterator[Process]:
        tasks = [task for task, _ in found]
        loaded = table("task", self._task.names, [row for _, row in found])
        loaded |= {f"task.{name}": [getattr(task, name) for task in tasks] for name in Task._fields}

        def load(name: str) -> Mapping[str, Column]:
            source = name.partition(".")[0]
            unknown: dict[str, Column] = {name: (None,) * len(tasks)}
            if source == "threads":
                return unknown | self._sums(tasks, columns)
            if source in self._sources:
                reader = self._sources[source]
                rows = reader.rows(columns[SOURCES[source].pointer])
                return unknown | table(source, reader.names, rows)
            return unknown

        columns = Columns(self._rules, self._machine, load)
        columns.update(loaded)
        chosen = [columns[one] if one in self._fields else repeat(None) for one in Process._fields]
        return map(partial(tuple.__new__, Process), zip(*chosen, strict=False))

    def _sums(self, tasks: Sequence[Task], columns: Columns) -> dict[str, Column]:
        """The sums over the threads of each process; None where one could not be read."""
        names = self._summed.names
        if not names:
            return {}
        own = zip(*(columns[f"task.{name}"] for name in names), strict=True)
        rows = [row if task.last else self._sum(task) for task, row in zip(tasks, own, strict=True)]
        return table("threads", names, rows)

    def _sum(self, process: Task) -> Row | None:
        total = self._summed.nothing
        for thread in self._list.threads(process):
            row = self._summed.at(thread.address)
            if row is None:
                return None
            total = tuple(map(add, total, row))
        return total
