"""What processes does a dead kernel have?  Its memory, as the same kernel alive would have told it.

1. Processes are met chunk by chunk, each one's structs read once, and turned into columns of
   struct kinfo_proc; the conversions to attributes are those of live kernels (kinfo.py).
2. A process that cannot be read is left out; what of it cannot be read is None.  Both are counted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, islice

from kvm_exporter.kvm.errors import ProcessGone, TypeMissing
from kvm_exporter.kvm.objects.columns import Column, Rules, needs, table
from kvm_exporter.kvm.objects.freebsd import kinfo
from kvm_exporter.kvm.objects.freebsd.pctcpu import FSCALE
from kvm_exporter.kvm.objects.freebsd.proccolumns import Chunk, Threads
from kvm_exporter.kvm.objects.freebsd.procfill import PRS_NEW, Machine
from kvm_exporter.kvm.objects.freebsd.proclist import ProcessList
from kvm_exporter.kvm.objects.freebsd.procrules import BEFORE_15, RULES, THREAD_RULES
from kvm_exporter.kvm.objects.freebsd.procsources import PROC, SOURCES
from kvm_exporter.kvm.objects.freebsd.threadlist import ThreadLists
from kvm_exporter.kvm.objects.model import Process, ProcOp
from kvm_exporter.kvm.objects.sources import open_sources
from kvm_exporter.kvm.objects.structs import Row, Struct
from kvm_exporter.kvm.target import Target

PID_MAX = 99_999
"""Larger numbers are threads', and mean their process (sys/sys/proc.h, pget())."""

CHUNK_THREADS = 4096
"""Threads that are worked on together, so that memory does not grow with the dump."""

FILTERS: Mapping[ProcOp, tuple[str, str, int]] = {
    ProcOp.PGRP: ("ki_pgid", "proc.p_pgrp", 32),
    ProcOp.SESSION: ("ki_sid", "pgrp.pg_session", 32),
    ProcOp.TTY: ("ki_tdev", "session.s_ttyp", 64),
    ProcOp.UID: ("ki_uid", "proc.p_ucred", 32),
    ProcOp.RUID: ("ki_ruid", "proc.p_ucred", 32),
    ProcOp.RGID: ("ki_rgid", "proc.p_ucred", 32),
    ProcOp.GID: ("effective_gid", "proc.p_ucred", 32),
}
"""The column that has to have the value, the one that must not be null, and how many bits count
(sysctl_kern_proc_iterate(), sys/kern/kern_proc.c)."""

Found = tuple[int, Row]
"""A process: its address, and its members."""


def processes(
    target: Target,
    page_size: int,
    fields: Collection[str] | None,
    op: ProcOp,
    arg: int,
    threads: bool,
) -> Iterator[Process]:
    """As System.processes; ``page_size`` in bytes.

    Errors: SymbolMissing and TypeMissing where the kernel does not tell where its processes are, or
    what they look like.
    """
    wanted = kinfo.choose(None if fields is None else {"pid", *fields}, threads=threads)
    members = set(chain.from_iterable(field.members for field in wanted.values()))
    reader = _Reader(target, members, threads=threads)
    units = {"hw.pagesize": page_size, "kern.fscale": FSCALE}
    return kinfo.convert(reader.chunks(op, arg), target.abi.order, wanted, units, gaps=True)


class _Reader:
    """Reads processes into columns, from which the members ``wanted`` can be had."""

    def __init__(self, target: Target, wanted: Collection[str], *, threads: bool) -> None:
        self._tally = target.tally
        self._list = ProcessList(target)
        self._proc = Struct(target, "struct proc", PROC)
        self._threads = ThreadLists(target, self._proc.names)
        missing = {"p_pid", "p_state"} - set(self._proc.names)
        if missing:
            raise TypeMissing(f"struct proc has no {', '.join(missing)} in this kernel")
        self._sources = open_sources(target, SOURCES)
        self._machine = Machine(target)
        cred = self._sources.get("cred")
        self._rules: Rules = RULES if cred and "cr_gid" in cred.names else {**RULES, **BEFORE_15}
        merged = {**self._rules, **THREAD_RULES}
        self._own = {name: merged[name] for name in needs(merged, merged, "thread.")}
        self._by_thread = threads
        self._threaded = threads or bool(needs(self._rules, wanted, "thread"))

    def chunks(self, op: ProcOp, arg: int) -> Iterator[Mapping[str, Column]]:
        """The columns of the processes that are asked for, some at a time."""
        tid = arg if op is ProcOp.PID and arg > PID_MAX else None
        found = self._processes(arg if op is ProcOp.PID and tid is None else None)
        while some := list(islice(found, kinfo.CHUNK)):
            chosen = self._chosen(some, op, arg)
            if self._threaded or tid is not None:
                yield from self._with_threads(chosen, tid)
            else:
                yield self._chunk(chosen).columns

    def _processes(self, pid: int | None) -> Iterator[Found]:
        state = self._proc.names.index("p_state")
        for address in self._addresses(pid):
            row = self._proc.at(address)
            if row is not None and row[state] != PRS_NEW:
                yield address, row

    def _addresses(self, pid: int | None) -> Iterator[int]:
        if pid is None:
            return self._list.addresses()
        try:
            return iter((self._list.find(pid),))
        except ProcessGone:
            return iter(())

    def _chosen(self, some: Sequence[Found], op: ProcOp, arg: int) -> Sequence[Found]:
        if op not in FILTERS:
            return some
        member, pointer, bits = FILTERS[op]
        columns = self._chunk(some).columns
        tests = zip(some, columns[member], columns[pointer], strict=True)
        return [
            one
            for one, value, at in tests
            if at and value is not None and (value - arg) % (1 << bits) == 0
        ]

    def _chunk(self, some: Sequence[Found]) -> Chunk:
        columns = table("proc", self._proc.names, [row for _, row in some])
        columns["proc.address"] = [address for address, _ in some]
        return Chunk(self._rules, self._machine, self._sources, columns)

    def _with_threads(
        self, chosen: Sequence[Found], tid: int | None
    ) -> Iterator[Mapping[str, Column]]:
        """Columns of the processes, or of their threads; only of thread ``tid``'s process."""
        some: list[Found] = []
        threads: list[Threads] = []
        count = 0
        for one in chosen:
            own = self._threads.of(*one)
            if tid is None or self._threads.has(own, tid):
                some.append(one)
                threads.append(own)
                count += len(own)
            if count >= CHUNK_THREADS:
                yield self._columns(some, threads)
                some, threads, count = [], [], 0
        yield self._columns(some, threads)

    def _columns(self, some: Sequence[Found], threads: Sequence[Threads]) -> Mapping[str, Column]:
        chunk = self._chunk(some)
        if self._by_thread:
            return chunk.of_threads(self._own, threads, self._threads.names)
        return chunk.with_threads(threads, self._threads.names)
