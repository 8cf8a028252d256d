"""How does each file of /proc/PID fill its part of a row?

``fill`` raises OSError where its file cannot be read, and ValueError where it holds something else
than the kernel writes: the fields that could be read are filled even then.  ``name`` is the source
that failures are tallied under.
"""

from __future__ import annotations

import errno
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from kvm_exporter.kvm.live.procfs import Directory, Procfs
from kvm_exporter.kvm.objects.linux import columns, reading
from kvm_exporter.kvm.objects.linux.columns import POSITION, Cell, Line, Row, Scale
from kvm_exporter.kvm.objects.model import Namespaces


class Source(Protocol):
    """A file that tells some fields of a process."""

    @property
    def name(self) -> str: ...

    def fill(self, directory: Directory, row: Row) -> None: ...


class Stat:
    """/proc/PID/stat: ``pid (comm) state ppid …``.

    ``comm`` may hold any byte, so the numbers begin after the last parenthesis.  Kernels give
    more fields than we know, old ones fewer: what is not there stays None.
    """

    name = "proc stat"

    def __init__(self, cells: Collection[Cell], comm: bool) -> None:
        self._cells = cells
        self._comm = comm
        self._splits = 1 + max((cell.place for cell in cells), default=0)

    def fill(self, directory: Directory, row: Row) -> None:
        self.parse(directory.read("stat"), row)

    def parse(self, data: bytes, row: Row) -> None:
        head, parenthesis, tail = data.rpartition(b")")
        if not parenthesis:
            raise ValueError("no comm")
        if self._comm:
            row[_COMM] = head.partition(b"(")[2].decode("utf-8", "surrogateescape")
        odd = None
        tokens = tail.split(None, self._splits)
        for position, place, convert in self._cells:
            try:
                row[position] = convert(tokens[place])
            except IndexError:
                break
            except (ValueError, OverflowError) as error:
                odd = error
        if odd:
            raise ValueError(str(odd))


class GivenStat:
    """Stat, of a file that was read already."""

    name = Stat.name

    def __init__(self, stat: Stat, data: bytes) -> None:
        self._stat = stat
        self._data = data

    def fill(self, directory: Directory, row: Row) -> None:  # noqa: ARG002 - it is a Source
        self._stat.parse(self._data, row)


class Lines:
    """/proc/PID/status and io: ``Name:\\tvalue``.

    A comm with a newline cannot forge a line: status shows it escaped (proc_task_name() in
    fs/proc/array.c).  Kernel threads and zombies have no Vm lines: those fields stay None.
    """

    def __init__(self, file: str, lines: Collection[Line]) -> None:
        self.name = f"proc {file}"
        self._file = file
        self._lines = lines

    def fill(self, directory: Directory, row: Row) -> None:
        data = directory.read(self._file)
        odd = None
        at = 0
        for position, start, length, convert in self._lines:
            found = data.find(start, at)
            if found < 0:
                found = data.find(start)
                if found < 0:
                    continue
            at = found + length
            try:
                row[position] = convert(data[at : data.index(b"\n", at)])
            except (ValueError, IndexError) as error:
                odd = error
        if odd:
            raise ValueError(str(odd))


class Descriptors:
    """/proc/PID/fd: how many there are; its size where the kernel tells, else counted.

    Of our own process that includes the descriptor we look through.
    """

    name = "proc fd"

    def __init__(self, procfs: Procfs) -> None:
        self._sized = procfs.counts_descriptors

    def fill(self, directory: Directory, row: Row) -> None:
        row[_OPEN] = directory.size("fd") if self._sized else len(directory.numbers("fd"))


class Limit:
    """The soft limit of descriptors: prlimit(2) where it may, else /proc/PID/limits."""

    name = "proc limits"

    def __init__(self, procfs: Procfs) -> None:
        self._procfs = procfs

    def fill(self, directory: Directory, row: Row) -> None:
        limit = self._procfs.descriptor_limit(directory.number)
        row[_LIMIT] = descriptor_limit(directory.read("limits")) if limit is None else limit


class Cgroup:
    """/proc/PID/cgroup (cgroups(7))."""

    name = "proc cgroup"

    def fill(self, directory: Directory, row: Row) -> None:
        row[_CGROUP] = cgroup(directory.read("cgroup"))


class WaitChannel:
    """/proc/PID/wchan: the kernel function that the process sleeps in; ``0`` for none."""

    name = "proc wchan"

    def fill(self, directory: Directory, row: Row) -> None:
        name = directory.read("wchan").strip()
        row[_WCHAN] = name.decode("ascii") if name not in (b"", b"0") else None


class NamespaceLinks:
    """The links in /proc/PID/ns: ``net:[4026531840]`` (namespaces(7)).

    A zombie has left most of them, and older kernels have fewer: those are None.
    """

    name = "proc ns"

    def fill(self, directory: Directory, row: Row) -> None:
        found = Namespaces(*(_namespace(directory, name) for name in Namespaces._fields))
        if found == Namespaces():
            raise FileNotFoundError(errno.ENOENT, "no namespace is told")
        row[_NAMESPACES] = found


_COMM = POSITION["comm"]
_OPEN = POSITION["open_files"]
_LIMIT = POSITION["max_open_files"]
_CGROUP = POSITION["cgroup"]
_WCHAN = POSITION["wait_channel"]
_NAMESPACES = POSITION["namespaces"]


@dataclass(frozen=True, slots=True)
class Sources:
    """Files by who can change what they tell: the process itself, or (stat too) others as well."""

    by_others: tuple[Source, ...]
    by_itself: tuple[Source, ...]
    stat: tuple[Stat, ...]
    others: tuple[int, ...]
    """Positions in a row of what ``by_others`` tell."""

    @property
    def every(self) -> tuple[Source, ...]:
        """All of them in the order of reading.

        prlimit(2) takes a number and not a directory; it goes first, so that a later file proves
        that the process was still the same.
        """
        return (*self.by_others, *self.by_itself, *self.stat)


def sources(wanted: Collection[str], procfs: Procfs, scale: Scale) -> Sources:
    """The files to read for the wanted fields, and no other."""
    cells = columns.stat_cells(wanted, scale)
    status, io = columns.status_lines(wanted), columns.io_lines(wanted)
    by_others: dict[str, Source] = {
        "max_open_files": Limit(procfs),
        "cgroup": Cgroup(),
    }
    others = [field for field in by_others if field in wanted]
    by_itself: tuple[tuple[object, Source], ...] = (
        ("open_files" in wanted, Descriptors(procfs)),
        ("wait_channel" in wanted, WaitChannel()),
        ("namespaces" in wanted, NamespaceLinks()),
        (io, Lines("io", io)),
        (status, Lines("status", status)),
    )
    return Sources(
        tuple(by_others[field] for field in others),
        tuple(source for need, source in by_itself if need),
        (Stat(cells, "comm" in wanted),) if cells or "comm" in wanted else (),
        tuple(POSITION[field] for field in others),
    )


def descriptor_limit(data: bytes) -> int | None:
    """``Max open files            1024                 4096                 files`` → 1024."""
    _, found, rest = data.partition(b"Max open files")
    if not found:
        return None
    soft = rest.split(None, 1)[0:1]
    return None if soft == [b"unlimited"] else int(b"".join(soft))


def thread_group(data: bytes) -> int | None:
    """The process a thread belongs to: ``Tgid`` in /proc/PID/status; None where it says none."""
    _, _, rest = data.partition(b"\nTgid:")
    return reading.first_number(rest)


def _namespace(directory: Directory, name: str) -> int | None:
    try:
        link = directory.link(f"ns/{name}")
    except FileNotFoundError:
        return None
    return int(link.partition(b"[")[2].removesuffix(b"]"))


def cgroup(data: bytes) -> str | None:
    """The path in systemd's own hierarchy: ``name=systemd`` of version 1, else version 2's.

    Where there is neither, the first hierarchy's; None for a process in none.
    """
    paths = {}
    for line in data.split(b"\n"):
        hierarchy, _, rest = line.partition(b":")
        names, colon, path = rest.partition(b":")
        if colon:
            paths[names or hierarchy] = path
    for key in (b"name=systemd", b"0", *paths):
        if key in paths:
            return paths[key].decode("utf-8", "surrogateescape")
    return None
