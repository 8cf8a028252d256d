"""How does an array of struct kinfo_proc become Process values?

1. A row of FIELDS says which members make an attribute of Process, and by which conversion.
   Only the members that the wanted attributes need are unpacked at all.
2. Conversions work on whole columns, a chunk of processes at a time, so an attribute that is a
   member's plain value costs nothing beyond the unpacking, and one that nobody wants a None.
3. What the kernel fills, and when, is read in fill_kinfo_proc_only, fill_kinfo_proc_pgrp and
   fill_kinfo_thread of sys/kern/kern_proc.c.  Where it fills a number that means nothing (the
   terminal of a process without one, the exit status of a living process), the value is None.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, compress, islice, repeat
from typing import Any, NamedTuple, cast

from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.layout import Layout
from kvm_exporter.kvm.objects.model import Process

CHUNK = 512
"""Processes converted together: large enough to amortise, small enough to stay in the cache."""

SIDL, SRUN, SSLEEP, SSTOP, SZOMB, SWAIT, SLOCK = range(1, 8)
"""ki_stat (sys/sys/proc.h)."""

STATES = {
    SIDL: "idle",
    SRUN: "running",
    SSLEEP: "sleeping",
    SSTOP: "stopped",
    SZOMB: "zombie",
    SWAIT: "waiting",
    SLOCK: "locked",
}
"""``idle`` is a process that fork(2) is still making; ``waiting`` of SWAIT is an interrupt thread
without an interrupt.  A sleep that no signal ends (not TDF_SINTR, ps(1)'s D) is ``waiting`` too,
as most kernel threads' are."""

TDF_SINTR = 0x8
"""ki_tdflags: the sleep is interruptible (sys/sys/proc.h)."""

NODEV = 0xFFFF_FFFF_FFFF_FFFF
"""ki_tdev of a process without a terminal (sys/sys/param.h)."""

NO_PID = 100_000
"""ki_tpgid of a terminal without a foreground group (sys/sys/proc.h)."""

NOCPU = -1
"""ki_oncpu of a thread that is not running (sys/sys/param.h)."""

_MICRO = 1e-6
_MAXRSS_UNIT = 1024
"""ru_maxrss is in kilobytes (getrusage(2))."""

_FLAG_BITS = 0xFFFF_FFFF
"""p_flag and td_flags are 32 bits wide, but reach kinfo_proc through a long, sign and all."""

Column = Sequence[Any]


class Texts(dict[bytes, str | None]):
    """C strings decoded, an empty one as None.  Most are the same few: each is decoded once."""

    def __missing__(self, raw: bytes) -> str | None:
        text = raw.partition(b"\0")[0].decode("utf-8", "surrogateescape") or None
        self[raw] = text
        return text


class Given(NamedTuple):
    """What a conversion may need beside its columns; ``unit`` is the value of Field.unit."""

    order: str
    unit: int
    texts: Texts


class Field(NamedTuple):
    """How an attribute is made: ``convert(given, *columns of members)``.

    ``unit`` names the sysctl whose value the conversion multiplies or divides by.
    """

    convert: Callable[..., Iterable[object]]
    members: tuple[str, ...]
    unit: str = ""


def _same(_: Given, column: Column) -> Column:
    return column


def _text(given: Given, column: Column) -> Iterable[str | None]:
    return map(given.texts.__getitem__, column)


def _thread_name(given: Given, start: Column, rest: Column) -> Iterable[str | None]:
    # a character may be cut in two between the halves, so the bytes are joined before decoding
    halves = zip(start, rest, strict=True)
    return _text(given, [name.partition(b"\0")[0] + more for name, more in halves])


def _nonzero(_: Given, column: Column) -> list[int | None]:
    return [value or None for value in column]


def _bits(_: Given, column: Column) -> list[int]:
    return [value & _FLAG_BITS for value in column]


def _cpu(_: Given, column: Column) -> list[int | None]:
    return [None if cpu == NOCPU else cpu for cpu in column]


def _scaled(given: Given, column: Column) -> list[int]:
    unit = given.unit
    return [value * unit for value in column]


def _kilobytes(_: Given, column: Column) -> list[int]:
    return [value * _MAXRSS_UNIT for value in column]


def _percent(given: Given, column: Column) -> list[float]:
    scale = 100 / given.unit
    return [value * scale for value in column]


def _seconds(_: Given, seconds: Column, microseconds: Column) -> list[float]:
    return [s + u * _MICRO for s, u in zip(seconds, microseconds, strict=True)]


def _micro(_: Given, column: Column) -> list[float]:
    return [value * _MICRO for value in column]


def _state(_: Given, stats: Column, flags: Column) -> list[str | None]:
    return [
        "waiting" if stat == SSLEEP and not flag & TDF_SINTR else STATES.get(stat)
        for stat, flag in zip(stats, flags, strict=True)
    ]


def _since_asleep(_: Given, seconds: Column, stats: Column) -> list[int | None]:
    # of a thread that is not asleep it is the time since the tick counter was 0
    asleep = (SSLEEP, SSTOP)
    return [s if stat in asleep else None for s, stat in zip(seconds, stats, strict=True)]


def _of_zombie(_: Given, values: Column, stats: Column) -> list[int | None]:
    return [v if stat == SZOMB else None for v, stat in zip(values, stats, strict=True)]


def _terminal(_: Given, devices: Column) -> list[int | None]:
    return [None if device == NODEV else device for device in devices]


def _of_terminal(_: Given, pids: Column, devices: Column) -> list[int | None]:
    return [
        None if device == NODEV or pid == NO_PID else pid
        for pid, device in zip(pids, devices, strict=True)
    ]


def _groups(given: Given, raws: Column, counts: Column) -> list[tuple[int, ...]]:
    size = struct.calcsize("=I")
    return [
        struct.unpack_from(f"{given.order}{min(max(count, 0), len(raw) // size)}I", raw)
        for raw, count in zip(raws, counts, strict=True)
    ]


def _first_group(given: Given, raws: Column, counts: Column) -> list[int | None]:
    return [next(iter(groups), None) for groups in _groups(given, raws, counts)]


_PAGE = "hw.pagesize"
_GROUPS = ("ki_groups", "ki_ngroups")


def _plain(member: str) -> Field:
    return Field(_same, (member,))


def _time(member: str) -> Field:
    return Field(_seconds, (f"{member}.tv_sec", f"{member}.tv_usec"))


FIELDS: Mapping[str, Field] = {
    "pid": _plain("ki_pid"),
    "comm": Field(_text, ("ki_comm",)),
    "state": Field(_state, ("ki_stat", "ki_tdflags")),
    "ppid": _plain("ki_ppid"),
    "pgid": _plain("ki_pgid"),
    "sid": _plain("ki_sid"),
    "tpgid": Field(_of_terminal, ("ki_tpgid", "ki_tdev")),
    "tsid": Field(_of_terminal, ("ki_tsid", "ki_tdev")),
    "uid": _plain("ki_uid"),
    "ruid": _plain("ki_ruid"),
    "svuid": _plain("ki_svuid"),
    # the first group is the effective one; at most 16 are told (KI_NGROUPS)
    "gid": Field(_first_group, _GROUPS),
    "rgid": _plain("ki_rgid"),
    "svgid": _plain("ki_svgid"),
    "groups": Field(_groups, _GROUPS),
    # 0 is also what a jail's own processes see of themselves
    "jail": _plain("ki_jid"),
    "login": Field(_text, ("ki_login",)),
    "login_class": Field(_text, ("ki_loginclass",)),
    "emulation": Field(_text, ("ki_emul",)),
    "tty": Field(_terminal, ("ki_tdev",)),
    "start_seconds": _time("ki_start"),
    "user_seconds": _time("ki_rusage.ru_utime"),
    "system_seconds": _time("ki_rusage.ru_stime"),
    "run_seconds": Field(_micro, ("ki_runtime",)),
    "children_user_seconds": _time("ki_rusage_ch.ru_utime"),
    "children_system_seconds": _time("ki_rusage_ch.ru_stime"),
    # the scheduler's decaying average, as ps -C shows it; 100 is one CPU
    "percent_cpu": Field(_percent, ("ki_pctcpu",), "kern.fscale"),
    "resident_bytes": Field(_scaled, ("ki_rssize",), _PAGE),
    "max_resident_bytes": Field(_kilobytes, ("ki_rusage.ru_maxrss",)),
    "virtual_bytes": _plain("ki_size"),
    "text_bytes": Field(_scaled, ("ki_tsize",), _PAGE),
    "data_bytes": Field(_scaled, ("ki_dsize",), _PAGE),
    "stack_bytes": Field(_scaled, ("ki_ssize",), _PAGE),
    "minor_faults": _plain("ki_rusage.ru_minflt"),
    "major_faults": _plain("ki_rusage.ru_majflt"),
    "cow_faults": _plain("ki_cow"),
    "swaps": _plain("ki_rusage.ru_nswap"),
    "voluntary_switches": _plain("ki_rusage.ru_nvcsw"),
    "involuntary_switches": _plain("ki_rusage.ru_nivcsw"),
    "read_operations": _plain("ki_rusage.ru_inblock"),
    "write_operations": _plain("ki_rusage.ru_oublock"),
    "messages_sent": _plain("ki_rusage.ru_msgsnd"),
    "messages_received": _plain("ki_rusage.ru_msgrcv"),
    "signals_received": _plain("ki_rusage.ru_nsignals"),
    "threads": _plain("ki_numthreads"),
    # the kernel empties ki_wmesg and ki_lockname of a thread that does not wait for them
    "wait_channel": Field(_text, ("ki_wmesg",)),
    "lock_name": Field(_text, ("ki_lockname",)),
    "nice": _plain("ki_nice"),
    "priority": _plain("ki_pri.pri_level"),
    "priority_class": _plain("ki_pri.pri_class"),
    "cpu": Field(_cpu, ("ki_oncpu",)),
    "last_cpu": Field(_cpu, ("ki_lastcpu",)),
    "sleep_seconds": Field(_since_asleep, ("ki_slptime", "ki_stat")),
    # as wait(2) has it; a stopped process has its signal there
    "exit_status": Field(_of_zombie, ("ki_xstat", "ki_stat")),
    "tracer": Field(_nonzero, ("ki_tracer",)),
    "fib": _plain("ki_fibnum"),
    "flags": Field(_bits, ("ki_flag",)),
    "thread_flags": Field(_bits, ("ki_tdflags",)),
    "address": Field(_nonzero, ("ki_paddr",)),
    "wait_address": Field(_nonzero, ("ki_wchan",)),
}
"""Process attribute → members of struct kinfo_proc (sys/sys/user.h)."""

THREAD_FIELDS: Mapping[str, Field] = {
    "tid": _plain("ki_tid"),
    "thread_name": Field(_thread_name, ("ki_tdname", "ki_moretdname")),
}
"""Those of a thread's row; a process's row carries its first thread's, which are not its own."""


def check(data: bytes, layout: Layout) -> None:
    """FormatError unless ``data`` starts with a kinfo_proc of the size that ``layout`` has."""
    (size,) = struct.unpack_from(f"{layout.order}i", data.ljust(4, b"\0"))
    if size != layout.size:
        raise FormatError(
            f"kinfo_proc size mismatch (expected {layout.size}, got {size}): this version does not "
            "know this kernel's struct; update it, or run a Python as wide as the kernel (not a "
            "32-bit one on a 64-bit kernel)"
        )


def decode(
    data: bytes, layout: Layout, fields: Mapping[str, Field], units: Mapping[str, int]
) -> Iterator[Process]:
    """A Process for each whole record of ``data``; attributes not in ``fields`` are None.

    ``units`` holds the value of each Field.unit.
    """
    members = set(chain.from_iterable(field.members for field in fields.values()))
    compiled = layout.compile(members)
    whole = len(data) - len(data) % layout.size
    records = compiled.decoder.iter_unpack(memoryview(data)[:whole])
    return convert(_columns(records, compiled.names), layout.order, fields, units)


def _columns(
    records: Iterator[tuple[Any, ...]], names: Sequence[str]
) -> Iterator[Mapping[str, Column]]:
    while chunk := list(islice(records, CHUNK)):
        yield dict(zip(names, zip(*chunk, strict=True), strict=True))


def convert(
    chunks: Iterable[Mapping[str, Column]],
    order: str,
    fields: Mapping[str, Field],
    units: Mapping[str, int],
    *,
    gaps: bool = False,
) -> Iterator[Process]:
    """A Process for each row of each chunk, from the columns of kinfo_proc's members.

    ``gaps``: a member may be None in a row (it could not be had); so then is each attribute that
    needs it.
    """
    # Process._make without its Python frame: a third of the time of the loop
    make = partial(tuple.__new__, Process)
    texts = Texts()
    plan = [_bind(fields.get(name), order, units, texts, gaps) for name in Process._fields]
    for columns in chunks:
        # not strict: the columns of unwanted attributes never end
        values = zip(*(column(columns) for column in plan), strict=False)
        yield from cast("Iterator[Process]", map(make, values))


def _bind(
    field: Field | None, order: str, units: Mapping[str, int], texts: Texts, gaps: bool
) -> Callable[[Mapping[str, Column]], Iterable[object]]:
    """From the columns of a chunk to those of an attribute."""
    if field is None:
        return lambda _: repeat(None)
    function, members, unit = field
    given = Given(order, units.get(unit, 0), texts)
    if gaps:
        return lambda columns: _around_gaps(
            function, given, [columns[member] for member in members]
        )
    return lambda columns: function(given, *(columns[member] for member in members))


def _around_gaps(
    function: Callable[..., Iterable[object]], given: Given, columns: Sequence[Column]
) -> Iterable[object]:
    if not any(None in column for column in columns):
        return function(given, *columns)
    whole = [None not in row for row in zip(*columns, strict=True)]
    converted = iter(function(given, *(list(compress(column, whole)) for column in columns)))
    return [next(converted) if had else None for had in whole]


def choose(fields: Collection[str] | None, *, threads: bool) -> dict[str, Field]:
    """The rows for the wanted attributes (None: all); the others are not kinfo_proc's to tell."""
    known = {**FIELDS, **THREAD_FIELDS} if threads else FIELDS
    return {name: row for name, row in known.items() if fields is None or name in fields}
