"""Which processes are there, and what are they?  /proc/PID, chosen as kvm_getprocs(3) chooses.

Rule 1: a process that ends while it is read is left out whole; its files then say ESRCH or
        ENOENT.  ENOENT alone may also be a kernel built without that file.
Rule 2: a file that is refused, missing or odd costs its own fields, and is tallied.
Rule 3: a walk over all processes does not read again what cannot have changed (resting.py).
Rule 4: rows are made one at a time, so memory stays flat however many there are.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from kvm_exporter.kvm.errors import Unsupported
from kvm_exporter.kvm.live.procfs import Directory, Procfs
from kvm_exporter.kvm.objects.linux import pidfiles, reading
from kvm_exporter.kvm.objects.linux.columns import POSITION, Row, Scale, blank, made
from kvm_exporter.kvm.objects.linux.pidfiles import Source
from kvm_exporter.kvm.objects.linux.resting import Memory, Resting
from kvm_exporter.kvm.objects.model import Process, ProcOp
from kvm_exporter.kvm.tally import Tally

FILTERS = {
    ProcOp.PGRP: "pgid",
    ProcOp.SESSION: "sid",
    ProcOp.TTY: "tty",
    ProcOp.UID: "uid",
    ProcOp.RUID: "ruid",
    ProcOp.RGID: "rgid",
    ProcOp.GID: "gid",
}

_TID = POSITION["tid"]
_COMM = POSITION["comm"]
_THREAD_NAME = POSITION["thread_name"]
_GONE = (errno.ENOENT, errno.ESRCH)


@dataclass(frozen=True, slots=True)
class Choice:
    """What is wanted: the fields (None: all), the processes, and whether by thread."""

    fields: Collection[str] | None = None
    op: ProcOp = ProcOp.PROC
    arg: int = 0
    threads: bool = False

    def names(self) -> frozenset[str]:
        """The fields to read; Unsupported for a name that Process does not have."""
        wanted = frozenset(POSITION if self.fields is None else self.fields)
        if unknown := sorted(wanted.difference(POSITION)):
            raise Unsupported(f"Process has no field {', '.join(unknown)}")
        if "thread_name" in wanted and self.threads:
            wanted |= {"comm"}
        return wanted | {FILTERS[self.op]} if self.op in FILTERS else wanted

    def has(self, process: Row | Process) -> bool:
        """Whether ``op`` and ``arg`` choose it, as far as a field of it tells."""
        return self.op not in FILTERS or process[POSITION[FILTERS[self.op]]] == self.arg


def from_live(
    procfs: Procfs, tally: Tally, memory: Memory, boot_seconds: float | None, choice: Choice
) -> Iterator[Process]:
    """The chosen processes by ascending pid, or all their threads; ``memory`` is the handle's.

    Errors: Unsupported, at once, for a field that Process does not have; AccessDenied and
    Unsupported where /proc cannot be listed.
    """
    scale = Scale(procfs.clock_ticks, procfs.page_size, boot_seconds)
    walk = _Walk(procfs, tally, memory, choice, scale)
    return walk.threads() if choice.threads else walk.processes()


class _Walk:
    def __init__(
        self, procfs: Procfs, tally: Tally, memory: Memory, choice: Choice, scale: Scale
    ) -> None:
        wanted = choice.names()
        self._procfs = procfs
        self._tally = tally
        self._choice = choice
        sources = pidfiles.sources(wanted, procfs, scale)
        self._sources = sources.every
        everyone = choice.op in (ProcOp.ALL, ProcOp.PROC) and not choice.threads
        self._resting = Resting(memory, wanted, sources) if everyone and sources.by_itself else None
        self._leader = (pidfiles.Stat((), comm=True),) if "comm" in wanted else ()

    def processes(self) -> Iterator[Process]:
        for pid in self._pids():
            process = self._process(pid)
            if process and self._choice.has(process):
                yield process
        if self._resting:
            self._resting.end()

    def threads(self) -> Iterator[Process]:
        for pid in self._pids():
            yield from self._threads_of(pid)

    def _pids(self) -> list[int]:
        if self._choice.op == ProcOp.PID:
            return [self._choice.arg] if self._leads(self._choice.arg) else []
        return reading.pids(self._procfs, self._tally)

    def _leads(self, pid: int) -> bool:
        """Is that a process?  /proc/TID is there for every thread, though not listed."""
        try:
            directory = self._procfs.process(pid)
        except OSError as error:
            return error.errno not in _GONE
        try:
            return pidfiles.thread_group(directory.read("status")) in (pid, None)
        except OSError as error:
            return error.errno not in _GONE
        finally:
            directory.close()

    def _process(self, pid: int) -> Process | None:
        """A process; None where it is gone."""
        row = blank(pid)
        if not self._sources:
            return made(row)
        try:
            directory = self._procfs.process(pid)
        except OSError as error:
            return made(row) if self._survives(error) else None
        try:
            if self._resting:
                return self._resting.process(directory, self._fill)
            return made(row) if self._fill(self._sources, directory, row) else None
        finally:
            directory.close()

    def _threads_of(self, pid: int) -> list[Process]:
        try:
            directory = self._procfs.process(pid)
        except OSError as error:
            self._survives(error)
            return []
        try:
            leader = blank(pid)
            if not self._fill(self._leader, directory, leader):
                return []
            rows = [self._thread(directory, tid, leader) for tid in directory.numbers("task")]
        except OSError as error:
            self._survives(error)
            return []
        finally:
            directory.close()
        return [made(row) for row in rows if row and self._choice.has(row)]

    def _thread(self, process: Directory, tid: int, leader: Row) -> Row | None:
        """A thread's row: its own figures under its process's pid and comm; None if gone."""
        row = blank(process.number)
        row[_TID] = tid
        try:
            directory = process.thread(tid)
        except OSError as error:
            return row if self._survives(error) else None
        try:
            there = self._fill(self._sources, directory, row)
        finally:
            directory.close()
        row[_THREAD_NAME], row[_COMM] = row[_COMM], leader[_COMM]
        return row if there else None

    def _fill(self, sources: Collection[Source], directory: Directory, row: Row) -> bool:
        for source in sources:
            try:
                source.fill(directory, row)
            except OSError as error:
                if error.errno in _GONE and not directory.holds("stat"):
                    return False
                self._tally.add(source.name, error.errno)
            except ValueError:
                self._tally.add(source.name, errno.EBADMSG)
        return True

    def _survives(self, error: OSError) -> bool:
        """Tally a directory that could not be opened, unless because its process is gone."""
        if error.errno in _GONE:
            return False
        self._tally.add("proc pid", error.errno)
        return True
