"""Which file of /proc/PID tells which field of a Process, where in it, and in which unit?

Tables: a field is asked for by name, and only the files that the wanted fields need are read.
Numbers come from proc_pid_stat(5) and proc_pid_status(5), and ``state`` from task_state_array in
fs/proc/array.c.

Of a process of several threads, ``state``, ``wait_channel`` and the context switches are those
of its main thread: the kernel tells no sum of switches, and one over the threads that live would
fall when a thread ends.  All other times and counts are of all its threads, the ended included.

``exit_status`` is left out: Linux shows 0 to those who may not see it, and uses it for tracing
(do_task_stat() in fs/proc/array.c).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from kvm_exporter.kvm.objects.model import Process

Convert = Callable[[bytes], object]
"""Bytes of the file → the field's value; ValueError or OverflowError for what cannot be one."""

Row = list[object]
"""A Process in the making: a value for each of its fields, None as long as it is unknown."""

POSITION: Mapping[str, int] = {name: index for index, name in enumerate(Process._fields)}

STATES: Mapping[bytes, str] = {
    b"R": "running",
    b"S": "sleeping",
    b"D": "waiting",
    b"T": "stopped",
    b"t": "stopped",  # by a tracer
    b"Z": "zombie",
    b"X": "zombie",  # about to vanish; x in Linux 2.6.33-3.13
    b"x": "zombie",
    b"I": "idle",  # a kernel thread, since 4.14
    b"P": "idle",  # parked
    b"K": "waiting",  # wakekill and waking, 2.6.33-3.13
    b"W": "waiting",
}


@dataclass(frozen=True, slots=True)
class Scale:
    """What the kernel's units are worth.  ``boot_seconds``: Unix time of boot, None unknown."""

    clock_ticks: int
    page_size: int
    boot_seconds: float | None

    def converters(self) -> Mapping[str, Convert]:
        """The units of _STAT below.  Closures: these run a dozen times for each process."""
        hz, page, boot = self.clock_ticks, self.page_size, self.boot_seconds

        def seconds(ticks: bytes) -> float:
            return int(ticks) / hz

        def start(ticks: bytes) -> float | None:
            return None if boot is None else boot + int(ticks) / hz

        def pages(count: bytes) -> int:
            return int(count) * page

        return {
            "count": int,
            "positive": _positive,
            "state": STATES.get,
            "seconds": seconds,
            "start": start,
            "pages": pages,
        }


def blank(pid: int) -> Row:
    """A row of which only the number is known."""
    row: Row = [None] * len(POSITION)
    row[0] = pid
    return row


def made(row: Row) -> Process:
    """The Process of a row."""
    return tuple.__new__(Process, row)


class Cell(NamedTuple):
    """A wanted field: its position in Process, where in the file, how to convert it."""

    position: int
    place: int
    convert: Convert


class Line(NamedTuple):
    """As Cell, of a file of ``Name:\\tvalue`` lines; ``length`` is that of ``start``."""

    position: int
    start: bytes
    length: int
    convert: Convert


def _positive(token: bytes) -> int | None:
    value = int(token)
    return value if value > 0 else None


def _kib(text: bytes) -> int:
    return int(text.removesuffix(b" kB")) << 10


def _numbers(text: bytes) -> tuple[int, ...]:
    return tuple(map(int, text.split()))


def _real(text: bytes) -> int:
    return int(text.split()[0])


def _effective(text: bytes) -> int:
    return int(text.split()[1])


def _saved(text: bytes) -> int:
    return int(text.split()[2])


_STAT: Mapping[str, tuple[int, str]] = {
    "state": (3, "state"),
    "ppid": (4, "count"),
    "pgid": (5, "count"),
    "sid": (6, "count"),
    "tty": (7, "positive"),  # 0: no terminal
    "tpgid": (8, "positive"),  # -1: no terminal
    "flags": (9, "count"),
    "minor_faults": (10, "count"),
    "major_faults": (12, "count"),
    "user_seconds": (14, "seconds"),
    "system_seconds": (15, "seconds"),
    "children_user_seconds": (16, "seconds"),
    "children_system_seconds": (17, "seconds"),
    "priority": (18, "count"),
    "nice": (19, "count"),
    "threads": (20, "count"),
    "start_seconds": (22, "start"),
    "virtual_bytes": (23, "count"),
    "resident_bytes": (24, "pages"),
    "last_cpu": (39, "count"),
}

_STATUS: Mapping[str, tuple[bytes, Convert]] = {
    "tracer": (b"TracerPid", int),
    "ruid": (b"Uid", _real),
    "uid": (b"Uid", _effective),
    "svuid": (b"Uid", _saved),
    "rgid": (b"Gid", _real),
    "gid": (b"Gid", _effective),
    "svgid": (b"Gid", _saved),
    "groups": (b"Groups", _numbers),
    "max_resident_bytes": (b"VmHWM", _kib),
    "data_bytes": (b"VmData", _kib),
    "stack_bytes": (b"VmStk", _kib),
    "text_bytes": (b"VmExe", _kib),
    "swap_bytes": (b"VmSwap", _kib),
    "voluntary_switches": (b"voluntary_ctxt_switches", int),
    "involuntary_switches": (b"nonvoluntary_ctxt_switches", int),
}
"""In the order of the file, which spares searching it from the start for each."""

_IO: Mapping[str, tuple[bytes, Convert]] = {
    "read_bytes": (b"read_bytes", int),
    "write_bytes": (b"write_bytes", int),
}


def stat_cells(wanted: Collection[str], scale: Scale) -> tuple[Cell, ...]:
    """The wanted fields of /proc/PID/stat; ``place`` counts from 0 at the state."""
    units = scale.converters()
    return tuple(
        Cell(POSITION[field], number - 3, units[unit])
        for field, (number, unit) in _STAT.items()
        if field in wanted
    )


def status_lines(wanted: Collection[str]) -> tuple[Line, ...]:
    """The wanted fields of /proc/PID/status."""
    return _lines(_STATUS, wanted)


def io_lines(wanted: Collection[str]) -> tuple[Line, ...]:
    """The wanted fields of /proc/PID/io."""
    return _lines(_IO, wanted)


def _lines(table: Mapping[str, tuple[bytes, Convert]], wanted: Collection[str]) -> tuple[Line, ...]:
    return tuple(
        Line(POSITION[field], b"\n" + name + b":", len(name) + 2, convert)
        for field, (name, convert) in table.items()
        if field in wanted
    )
