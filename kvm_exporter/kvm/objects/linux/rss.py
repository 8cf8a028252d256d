"""How many pages does a process have?  The counters of its struct mm_struct.

1. Since 6.2 (f1a7941243c1) a counter is a struct percpu_counter: a count, and each CPU's share that
   it has not handed in yet.  Before, an atomic_long_t; what threads had not added yet was not told.
2. /proc/PID/stat tells the count alone.  status has the shares in it since 6.17 (82241a83cd15) and
   in the stable kernels from 6.12 on; in those between, it was some dozen pages off, which here it
   is not.
3. A number below zero is told as 0 (get_mm_counter()).

Sources: include/linux/mm.h, include/linux/mm_types_task.h, include/linux/percpu_counter.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import cached_property
from operator import add
from typing import NamedTuple

from kvm_exporter.kvm.errors import TypeMissing
from kvm_exporter.kvm.objects.linux.percpu import PerCpu
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types.flatten import layout

COUNTER = "struct percpu_counter"


class Pages(NamedTuple):
    """By what they are, in the kernel's order; ``shared`` has one of its own since 4.5."""

    file: int = 0
    anonymous: int = 0
    swapped: int = 0
    shared: int = 0

    @property
    def resident(self) -> int:
        """get_mm_rss()"""
        return self.file + self.anonymous + self.shared


class RssCounters:
    """Reads mm->rss_stat.  Errors: TypeMissing."""

    def __init__(self, target: Target) -> None:
        self._target = target
        order, word = target.abi.order, target.abi.pointer
        self._names: Sequence[str] = ("count",)
        self._decoder = struct.Struct(order + word.lower())
        if not target.has("struct mm_struct", "rss_stat.count"):
            wanted = ["count", "counters"][: 1 + target.has(COUNTER, "counters")]
            found = layout(target.types, target.abi, COUNTER, wanted)
            if found.members["count"].code != "q" or found.members[wanted[-1]].code not in "qIQ":
                raise TypeMissing(f"{COUNTER} has members of other types in this kernel")
            compiled = found.compile(wanted)
            self._decoder, self._names = compiled.decoder, compiled.names
        self._shares = struct.Struct(f"{order}{len(Pages._fields)}i")

    def counts(self, raw: bytes) -> Pages:
        """From the bytes of rss_stat, without the CPUs' shares."""
        return _pages(self._members(raw, "count"))

    def sums(self, raw: bytes) -> Pages:
        """From the bytes of rss_stat, with the CPUs' shares.  Errors: Fault, SymbolMissing …"""
        counts = self._members(raw, "count")
        if "counters" not in self._names or not counts:
            return _pages(counts)
        shares = self._all_shares(self._members(raw, "counters"))
        return _pages(map(add, counts, shares))

    def _members(self, raw: bytes, name: str) -> Sequence[int]:
        """The same member of each counter."""
        size = self._decoder.size
        known = raw[: min(len(raw) // size, len(Pages._fields)) * size]
        columns = list(zip(*self._decoder.iter_unpack(known), strict=True))
        return columns[self._names.index(name)] if columns else ()

    def _all_shares(self, pointers: Sequence[int]) -> Iterable[int]:
        """The sum of all CPUs' shares of each counter."""
        cpus, size = self._cpus, self._shares.size
        first = pointers[0]
        if list(pointers) != list(range(first, first + size, 4)):
            return [cpus.sum(one, cpus.possible, 4, signed=True) for one in pointers]
        # since 6.6 (14ef95be6f55) they lie together
        blocks = (self._target.read(cpus.address(first, cpu), size) for cpu in cpus.possible)
        return map(sum, zip(*map(self._shares.unpack, blocks), strict=True))

    @cached_property
    def _cpus(self) -> PerCpu:
        return PerCpu(self._target)


def _pages(numbers: Iterable[int]) -> Pages:
    return Pages(*[max(number, 0) for number in numbers])
