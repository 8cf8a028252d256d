"""Which threads has a process of a dead kernel?  Its p_threads, as far as the list is whole.

A list ends early, which is counted, at what cannot be read, goes in circles or says that it is
another process's; so that damaged lists cost no more than the threads that there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kvm_exporter.kvm.objects.freebsd.proccolumns import Threads
from kvm_exporter.kvm.objects.freebsd.procsources import THREAD
from kvm_exporter.kvm.objects.structs import Row, Struct
from kvm_exporter.kvm.target import Target

MOST_OF_ONE = 1 << 16
"""Threads of a process: kern.threads.max_threads_per_proc is 1500 unless somebody raised it."""

MOST = 1 << 20
"""Threads of all: ten times kern.maxthread of a large machine."""


class ThreadLists:
    """Threads of processes whose rows have the members ``of_process``; ``names`` are theirs."""

    def __init__(self, target: Target, of_process: Sequence[str]) -> None:
        self._tally = target.tally
        self._struct = Struct(target, "struct thread", THREAD)
        self.names = self._struct.names
        self._first = _position(of_process, "p_threads.tqh_first")
        self._next = _position(self.names, "td_plist.tqe_next")
        self._owner = _position(self.names, "td_proc")
        self._tid = _position(self.names, "td_tid")
        self._left = MOST

    def of(self, address: int, process: Row) -> Threads:
        """Threads of the process at ``address``: address and row, None for an unreadable one."""
        if self._first is None or self._next is None:
            return ()
        return list(self._walk(address, process[self._first], self._next))

    def has(self, threads: Threads, tid: int) -> bool:
        """Whether one of them is ``tid``."""
        at = self._tid
        return at is not None and any(row is not None and row[at] == tid for _, row in threads)

    def _walk(self, process: int, thread: int, after: int) -> Iterator[tuple[int, Row | None]]:
        seen: set[int] = set()
        while thread:
            row = self._struct.at(thread)
            foreign = row and self._owner is not None and row[self._owner] != process
            if foreign or thread in seen or not self._left or len(seen) >= MOST_OF_ONE:
                self._tally.add("struct thread", None)
                return
            yield thread, row
            seen.add(thread)
            self._left -= 1
            thread = row[after] if row else 0


def _position(names: Sequence[str], name: str) -> int | None:
    return names.index(name) if name in names else None
