"""Which processes are there?  ``inspect ps``."""

from __future__ import annotations

from collections.abc import Iterator

from kvm_exporter.inspection.report import Column, Report, Row, Table, Value
from kvm_exporter.kvm import Kvm, KvmError, ProcOp
from kvm_exporter.kvm.objects.model import Process

COLUMNS = (
    Column("pid", 6, "number"),
    Column("ppid", 6, "number"),
    Column("uid", 6, "number"),
    Column("jail", 4, "number"),
    Column("state", 8),
    Column("threads", 7, "number"),
    Column("cpu_seconds", 11, "number"),
    Column("resident_kib", 12, "number"),
    Column("wait_channel", 12),
    Column("comm", 16),
    Column("arguments"),
)
FIELDS = (
    *("ppid", "uid", "jail", "state", "threads", "user_seconds", "system_seconds"),
    *("resident_bytes", "wait_channel", "comm"),
)
THREAD_COLUMNS = (Column("tid", 6, "number"), Column("thread", 20))


def ps(kvm: Kvm, *, threads: bool) -> Report:
    """A row a process, or with ``threads`` a row a thread."""
    fields = (*FIELDS, "tid", "thread_name") if threads else FIELDS
    found = kvm.processes(fields, ProcOp.PROC, threads=threads)
    columns = (*THREAD_COLUMNS, *COLUMNS) if threads else COLUMNS
    return Table(columns, _rows(kvm, found, threads=threads))


def _rows(kvm: Kvm, found: Iterator[Process], *, threads: bool) -> Iterator[Row]:
    last: tuple[int, Value] = (-1, None)
    for process in found:
        if process.pid != last[0]:  # a process's threads come one after the other
            last = (process.pid, _arguments(kvm, process.pid))
        row = (*_told(process), last[1])
        yield (process.tid, process.thread_name, *row) if threads else row


def _told(process: Process) -> Row:
    """Every column but the last."""
    used = (process.user_seconds, process.system_seconds)
    known = [seconds for seconds in used if seconds is not None]
    resident = process.resident_bytes
    return (
        process.pid,
        process.ppid,
        process.uid,
        process.jail,
        process.state,
        process.threads,
        sum(known) if known else None,
        None if resident is None else resident // 1024,
        process.wait_channel,
        process.comm,
    )


def _arguments(kvm: Kvm, pid: int) -> Value:
    try:
        return kvm.arguments(pid) or None
    except KvmError:  # gone, refused, or its pages are not in the dump: the row stays
        return None
