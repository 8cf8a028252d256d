"""Which descriptors has a process of a dead kernel?  Its struct filedesc, as kern.file reads it.

1. p_fd leads to a table (struct fdescenttbl) with a row for each number; a row without a struct
   file is no open descriptor.
2. Processes are met in the order of the list of all processes, without zombies.
3. Counts of a damaged dump may say anything: rows are read a thousand at a time, until they end or
   there have been more than any kernel has.

Sources: sys/sys/filedesc.h, sys/sys/file.h, sysctl_kern_file() in sys/kern/kern_descrip.c.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kvm_exporter.kvm.errors import FormatError, KvmError, TypeMissing
from kvm_exporter.kvm.objects.freebsd.proclist import ProcessList
from kvm_exporter.kvm.objects.structs import LARGEST, Struct, Values
from kvm_exporter.kvm.remembered import Remembered
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types.flatten import layout

MOST_DESCRIPTORS = 1 << 20
"""Rows of a process's table; kern.maxfilesperproc is less."""

MOST = 1 << 24
"""Rows of all processes' tables."""

AT_ONCE = 1024
"""Rows read together."""

MOST_KNOWN = 1 << 16
"""Files that are remembered, as processes share them; then all are forgotten."""

PRS_NEW = 0
"""sys/sys/proc.h"""


class Process(NamedTuple):
    """A process that may have descriptors; ``table`` is its p_fd."""

    pid: int
    uid: int | None
    table: int


class FileTables:
    """Descriptors of ``target``'s processes.  Errors: SymbolMissing, TypeMissing, Fault."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._list = ProcessList(target, hashed=False)
        self._process = Struct(target, "struct proc", ("p_pid", "p_state", "p_ucred", "p_fd"))
        if "p_pid" not in self._process.names:
            raise TypeMissing("struct proc has no p_pid in this kernel")
        self._cred = Struct(target, "struct ucred", ("cr_uid",))
        self._filedesc = Struct(target, "struct filedesc", ("fd_files", "fd_refcnt"))
        self._table = Struct(target, "struct fdescenttbl", ("fdt_nfiles",))
        self._first = target.offset("struct fdescenttbl", "fdt_ofiles")
        row = layout(target.types, target.abi, "struct filedescent", ("fde_file",))
        if row.members["fde_file"].code != target.abi.pointer or row.size > LARGEST:
            raise FormatError("struct filedescent has no pointer fde_file: the types are damaged")
        self._row = row.compile(("fde_file",)).decoder
        file = ("f_type", "f_flag", "f_count", "f_offset", "f_data", "f_vnode")
        self._file = Struct(target, "struct file", file)
        self._known: Remembered[int, Values | None] = Remembered(MOST_KNOWN)
        self._left = MOST

    def processes(self, pid: int | None) -> Iterator[Process]:
        """Process ``pid``, or all of them."""
        for address in self._list.addresses():
            found = self._process.values(address)
            if found is None or found.get("p_state") == PRS_NEW:
                continue
            if pid is None or found["p_pid"] == pid:
                cred = self._cred.values(found["p_ucred"])
                yield Process(found["p_pid"], cred["cr_uid"] if cred else None, found["p_fd"])

    def descriptors(self, process: Process) -> Iterator[tuple[int, int]]:
        """The open ones: number, and address of the struct file.  Errors: Fault, FormatError."""
        filedesc = self._filedesc.values(process.table) if process.table else None
        if filedesc is None or not filedesc.get("fd_refcnt", 1):
            return
        table = self._table.values(filedesc["fd_files"])
        count = table["fdt_nfiles"] if table else 0
        if not 0 <= count <= MOST_DESCRIPTORS:
            raise FormatError(f"process {process.pid} has a table of {count} descriptors")
        start = filedesc["fd_files"] + self._first
        for at in range(0, count, AT_ONCE):
            rows = min(AT_ONCE, count - at)
            data = self._target.read(start + at * self._row.size, rows * self._row.size)
            self._left -= rows
            if self._left < 0:
                raise FormatError(f"more than {MOST} descriptors")
            for number, (file,) in enumerate(self._row.iter_unpack(data), at):
                if file:
                    yield number, file

    def file(self, address: int) -> Values | None:
        """The struct file at an address; None, and counted, where it cannot be read."""
        return self._known.of(address, self._file.values)

    def count(self, process: Process) -> int | None:
        """How many descriptors are open; None, and counted, where the table cannot be read."""
        try:
            return sum(1 for _ in self.descriptors(process))
        except KvmError:
            self._target.tally.add("struct filedesc", None)
            return None
