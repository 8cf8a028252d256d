"""Which processes have not run since they were last read?  Their files need no second reading.

Most processes of most machines sleep, and status, io and wchan are the dear ones among their files.

Rule 1: /proc/PID/schedstat tells how long a thread has been on a CPU, in nanoseconds, and how often
        it was put on one (kernel/sched/stats.h).  Where neither changed, a process of one thread
        has not executed an instruction.  So nothing changed that only it can change: its context
        switches, its I/O, its user, what it waits for.
Rule 2: what others can do to it shows in stat, which must be the same to the byte (its pages taken
        away, its parent gone, its priority set), or is read every time (descriptors, their limit,
        its control group).
Rule 3: stat and schedstat are read before the other files.  What happens in between is then seen
        as a change the next time.
Rule 4: a process that is running, or has more threads than one, is read whole every time.  So is
        every process of a kernel without CONFIG_SCHED_INFO, which has no schedstat or says 0 0 0.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from kvm_exporter.kvm.live.procfs import Directory
from kvm_exporter.kvm.objects.linux.pidfiles import GivenStat, Row, Source, Sources


class Rest(NamedTuple):
    """A process as it was: its two tell-tale files, and all that was read of it."""

    stat: bytes
    schedstat: bytes
    values: tuple[object, ...]


class Memory:
    """What one handle remembers from one walk over all processes to the next.

    It is for one set of fields; a walk that asks for others begins anew.
    """

    def __init__(self) -> None:
        self.fields: Collection[str] = ()
        self.rests: dict[int, Rest] = {}


class Resting:
    """One walk over all processes."""

    def __init__(self, memory: Memory, fields: Collection[str], sources: Sources) -> None:
        self._memory = memory
        self._fields = fields
        self._sources = sources
        self._last = memory.rests if memory.fields == fields else {}
        self._now: dict[int, Rest] = {}

    def recall(self, directory: Directory, row: Row) -> tuple[Sequence[Source], Rest | None]:
        """Fill the row with what need not be read, and tell what must be.

        The second value is for ``keep``, once the row is whole.
        """
        try:
            stat = directory.read("stat")
        except OSError:
            return self._sources.every, None
        last = self._last.get(directory.number)
        schedstat = (
            _schedstat(directory) if (last and last.stat == stat) or _may_rest(stat) else b""
        )
        if last and last.stat == stat and last.schedstat == schedstat:
            row[:] = last.values
            return self._sources.by_others, last
        sources = (*self._sources.by_others, *self._sources.by_itself)
        rest = Rest(stat, schedstat, ()) if schedstat else None
        return (*sources, *(GivenStat(source, stat) for source in self._sources.stat)), rest

    def keep(self, pid: int, rest: Rest | None, row: Row) -> None:
        """Remember a row that was filled, if its process may rest."""
        if rest:
            self._now[pid] = rest if rest.values else rest._replace(values=tuple(row))

    def end(self) -> None:
        """Every process has been seen: those that were not are forgotten."""
        self._memory.fields, self._memory.rests = self._fields, self._now


def _may_rest(stat: bytes) -> bool:
    """Has it one thread, that is not running?  Field 20, and R in field 3 of proc_pid_stat(5)."""
    tokens = stat.rpartition(b")")[2].split(None, 18)
    return len(tokens) > 18 and tokens[17] == b"1" and tokens[0] != b"R"


def _schedstat(directory: Directory) -> bytes:
    """The file's bytes; none where it cannot tell whether the process ran (rule 4)."""
    try:
        data = directory.read("schedstat")
    except OSError:
        return b""
    return b"" if data.startswith(b"0 0 ") else data
