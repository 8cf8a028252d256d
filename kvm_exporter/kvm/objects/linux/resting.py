"""Which processes have not run since they were last read?  Their files need no second reading.

Most processes of most machines sleep, and status, io and wchan are the dear ones among their files.

Rule 1: /proc/PID/schedstat tells how long a thread has been on a CPU, in nanoseconds, and how often
        it was put on one (kernel/sched/stats.h).  Where neither changed, a process of one thread
        has not executed an instruction.  So nothing changed that only it can change: its context
        switches, its I/O, its user, its descriptors, what it waits for.
Rule 2: what others can do to it shows in stat, which must be the same to the byte (its pages taken
        away, its parent gone, its priority set), or is read every time (the limit of descriptors,
        its control group).  One thing is missed: a process that shares its descriptors with another
        process, and not with threads (CLONE_FILES alone), shows their number of when it last ran.
Rule 3: stat and schedstat are read before the other files.  What happens in between is then seen
        as a change the next time.
Rule 4: a process that is running, or has more threads than one, is read whole every time.  So is
        every process of a kernel without CONFIG_SCHED_INFO, which has no schedstat or says 0 0 0.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from operator import itemgetter
from typing import NamedTuple

from kvm_exporter.kvm.live.procfs import Directory
from kvm_exporter.kvm.objects.linux.columns import Row, blank, made
from kvm_exporter.kvm.objects.linux.pidfiles import GivenStat, Source, Sources
from kvm_exporter.kvm.objects.model import Process

Fill = Callable[[Sequence[Source], Directory, Row], bool]
"""Fill a row from these sources; False where the process is gone."""


class Tells(NamedTuple):
    """The two files that tell whether anything else changed."""

    stat: bytes
    schedstat: bytes


class Rest(NamedTuple):
    """A process as it was."""

    tells: Tells
    process: Process


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
        self._scratch = blank(0)
        self._others = itemgetter(0, *sources.others)

    def process(self, directory: Directory, fill: Fill) -> Process | None:
        """The process, read or recalled; None where it is gone."""
        try:
            stat = directory.read("stat")
        except OSError:
            row = blank(directory.number)
            return made(row) if fill(self._sources.every, directory, row) else None
        last = self._last.get(directory.number)
        if last is None or last.tells.stat != stat:
            schedstat = _schedstat(directory) if _may_rest(stat) else b""
        else:
            schedstat = _schedstat(directory)
            if last.tells.schedstat == schedstat:
                return self._recalled(directory, last, fill)
        return self._read(directory, Tells(stat, schedstat), fill)

    def end(self) -> None:
        """Every process has been seen: those that were not are forgotten."""
        self._memory.fields, self._memory.rests = self._fields, self._now

    def _read(self, directory: Directory, tells: Tells, fill: Fill) -> Process | None:
        sources = (*self._sources.by_others, *self._sources.by_itself)
        given = (GivenStat(source, tells.stat) for source in self._sources.stat)
        row = blank(directory.number)
        if not fill((*sources, *given), directory, row):
            return None
        process = made(row)
        if tells.schedstat:
            self._now[directory.number] = Rest(tells, process)
        return process

    def _recalled(self, directory: Directory, last: Rest, fill: Fill) -> Process | None:
        """The very same object, unless others changed something."""
        scratch, process = self._scratch, last.process
        scratch[0] = process.pid
        for position in self._sources.others:
            scratch[position] = None
        if not fill(self._sources.by_others, directory, scratch):
            return None
        if self._others(scratch) != self._others(process):
            row: Row = list(process)
            for position in self._sources.others:
                row[position] = scratch[position]
            last = last._replace(process=made(row))
        self._now[directory.number] = last
        return last.process


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
