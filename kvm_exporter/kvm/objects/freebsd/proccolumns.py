"""How do rows of structs become columns of struct kinfo_proc?  By rules (objects/columns.py).

A column has a row for each process or, for rows of threads, for each of these.  What depends on the
process alone is worked out once for it, and repeated for its threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

from kvm_exporter.kvm.objects.columns import Column, Columns, Rules, table
from kvm_exporter.kvm.objects.freebsd.procfill import Machine
from kvm_exporter.kvm.objects.freebsd.procsources import SOURCES
from kvm_exporter.kvm.objects.sources import Shared
from kvm_exporter.kvm.objects.structs import Row

Threads = Sequence[tuple[int, Row | None]]
"""A process's threads: their addresses, and their rows where they could be read."""


class Chunk:
    """Processes, and their threads where these are wanted."""

    def __init__(
        self,
        rules: Rules,
        machine: Machine,
        sources: Mapping[str, Shared],
        processes: Mapping[str, Column],
    ) -> None:
        self.columns = Columns(rules, machine, self._load)
        self.columns.update(processes)
        self._machine = machine
        self._sources = sources
        self._length = len(self.columns["proc.address"])
        self._threads: Sequence[Threads] = ()
        self._names: Sequence[str] = ()

    def with_threads(self, threads: Sequence[Threads], names: Sequence[str]) -> Columns:
        """The columns, those of the processes' threads (``names`` are their members) among them."""
        self._threads, self._names = threads, names
        return self.columns

    def of_threads(self, rules: Rules, threads: Sequence[Threads], names: Sequence[str]) -> Columns:
        """Columns of the threads: ``rules`` of their own, all else their process's."""
        self.with_threads(threads, names)
        owners = [at for at, some in enumerate(threads) for _ in some]
        columns = Columns(
            rules,
            self._machine,
            lambda name: {name: [self.columns[name][owner] for owner in owners]},
        )
        columns.update(_of_threads("thread", names, list(chain.from_iterable(threads))))
        return columns

    def _load(self, name: str) -> Mapping[str, Column]:
        source = name.partition(".")[0]
        unknown: dict[str, Column] = {name: (None,) * self._length}
        if source == "thread":
            first = [threads[0] if threads else (0, None) for threads in self._threads]
            return unknown | _of_threads(source, self._names, first)
        if source == "threads":
            return unknown | self._each(name)
        if source in self._sources:
            reader = self._sources[source]
            rows = reader.rows(self.columns[SOURCES[source].pointer])
            return unknown | table(source, reader.names, rows)
        return unknown

    def _each(self, name: str) -> dict[str, Column]:
        """For every process a tuple of its threads' values; None where one could not be read."""
        member = name.removeprefix("threads.")
        if member == "address":
            return {name: [tuple(address for address, _ in some) for some in self._threads]}
        if member not in self._names:
            return {}
        at = self._names.index(member)
        return {name: [values and values[at] for values in self._turned]}

    @cached_property
    def _turned(self) -> list[Sequence[tuple[Any, ...]] | None]:
        """Each process's threads, turned: a tuple for each member; None if one was not readable."""
        none = [()] * len(self._names)
        return [
            (list(zip(*rows, strict=True)) or none) if None not in rows else None
            for rows in ([row for _, row in some] for some in self._threads)
        ]


def _of_threads(source: str, names: Sequence[str], threads: Threads) -> dict[str, Column]:
    columns = table(source, names, [row for _, row in threads])
    return columns | {f"{source}.address": [address for address, _ in threads]}
