"""Which files had the processes of a dead kernel open?  Their tables, as /proc/PID/fd tells them.

1. task->files leads to a struct files_struct, and that to its struct fdtable: an array of pointers
   to struct file, a null pointer for a number that is not open.
2. Processes are met by rising pid; zombies have no table.
3. Counts of a damaged dump may say anything: rows are read a thousand at a time, until they end or
   there have been more than any kernel has.

Sources: include/linux/fdtable.h, fs/proc/fd.c.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

from kvm_exporter.kvm.errors import FormatError, KvmError
from kvm_exporter.kvm.objects.linux.dentries import Paths, Place
from kvm_exporter.kvm.objects.linux.files import kind
from kvm_exporter.kvm.objects.linux.tasklist import TASK, Task, TaskList
from kvm_exporter.kvm.objects.model import OpenFile
from kvm_exporter.kvm.objects.structs import Struct, Values
from kvm_exporter.kvm.target import Target

O_CLOEXEC = 0o2000000
"""include/uapi/asm-generic/fcntl.h"""

MOST = 1 << 24
"""Rows of all processes' tables: more than any kernel has."""

AT_ONCE = 1024
"""Rows read together."""


def from_memory(target: Target, pid: int | None) -> Iterator[OpenFile]:
    """As files.from_live, of a dead kernel.

    Errors, at once: SymbolMissing and TypeMissing where the kernel does not tell where its
    processes are, or what their files look like; ProcessGone for a single process.
    """
    tasks = TaskList(target)
    some = tasks.processes() if pid is None else [tasks.find(pid)]
    tables = _Tables(target)
    return (file for task in some for file in tables.files(task))


class _Tables:
    """Tables of ``target``'s processes.  Errors: TypeMissing."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._paths = Paths(target)
        members = ("f_pos", "f_flags", "f_path.mnt", "f_path.dentry")
        self._file = Struct(target, "struct file", members)
        self._table = Struct(target, "struct fdtable", ("max_fds", "fd", "close_on_exec"))
        self._files = target.offset(TASK, "files")
        self._fdt = target.offset("struct files_struct", "fdt")
        self._left = MOST

    def files(self, task: Task) -> Iterator[OpenFile]:
        """Of one process, as far as its table can be read."""
        try:
            for number, address, closed in self._descriptors(task):
                file = self._file.values(address)
                if file is not None:
                    yield self._open(task.tgid, number, address, file, closed)
        except KvmError:
            self._target.tally.add("struct fdtable", None)

    def _open(self, pid: int, number: int, address: int, file: Values, closed: int) -> OpenFile:
        path = self._paths.of(Place(file["f_path.mnt"], file["f_path.dentry"]))
        return OpenFile(
            pid=pid,
            fd=number,
            kind=kind(os.fsencode(path or "")),
            flags=file["f_flags"] & ~O_CLOEXEC | closed,
            offset=file["f_pos"] if file["f_pos"] >= 0 else None,
            path=path,
            address=address,
        )

    def _descriptors(self, task: Task) -> Iterator[tuple[int, int, int]]:
        """The open ones: number, address of the struct file, and O_CLOEXEC where exec closes it.

        Errors: Fault, FormatError, TypeMissing.
        """
        target = self._target
        files = target.pointer(task.address + self._files)
        if not files:
            return
        at = target.pointer(files + self._fdt)
        table = self._table.needed(at)
        if not 0 <= table["max_fds"] <= self._left:
            raise FormatError(f"process {task.tgid} has no table of descriptors at {at:#x}")
        self._left -= table["max_fds"]
        for first in range(0, table["max_fds"], AT_ONCE):
            yield from self._rows(table, first, min(AT_ONCE, table["max_fds"] - first))

    def _rows(self, table: Values, first: int, count: int) -> Iterator[tuple[int, int, int]]:
        size = self._target.abi.pointer_size
        files = self._words(table["fd"] + first * size, count)
        words = self._words(table["close_on_exec"] + first // 8, -(-count // (8 * size)))
        closed = sum(word << 8 * size * at for at, word in enumerate(words))
        for at, file in enumerate(files):
            if file:
                yield first + at, file, O_CLOEXEC if closed >> at & 1 else 0

    def _words(self, address: int, count: int) -> tuple[int, ...]:
        """Pointers, or elements of a bitmap, which are unsigned long."""
        abi = self._target.abi
        data = self._target.read(address, count * abi.pointer_size)
        return struct.unpack(f"{abi.order}{count}{abi.pointer}", data)
