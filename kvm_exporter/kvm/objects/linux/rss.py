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

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from kvm_exporter.kvm.errors import FormatError
from kvm_exporter.kvm.objects.linux.percpu import PerCpu
from kvm_exporter.kvm.target import Target

COUNTER = "struct percpu_counter"

SHARE = 4
"""Bytes of a CPU's share."""

NEAR = 64
"""Bytes in which a process's shares are read together; mm_init() gets them in one piece."""


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
    """Reads mm->rss_stat.  Errors: TypeMissing, FormatError."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._order = target.abi.byteorder
        size: int = target.abi.pointer_size
        self._at, self._width, self._stride = 0, size, size
        self._shares: int | None = None
        if not target.has("struct mm_struct", "rss_stat.count"):
            self._at, self._width = target.offset(COUNTER, "count"), 8
            self._stride = target.view(0, COUNTER).size
            if target.has(COUNTER, "counters"):
                self._shares = target.offset(COUNTER, "counters")
        if not self._at + self._width <= self._stride:
            raise FormatError(f"{COUNTER} of {self._stride} bytes: the types are damaged")

    def counts(self, raw: bytes) -> Pages:
        """From the bytes of rss_stat, without the CPUs' shares."""
        return _pages(self._integers(raw, self._at, self._width, signed=True))

    def sums(self, raw: bytes) -> Pages:
        """From the bytes of rss_stat, with the CPUs' shares.  Errors: Fault, SymbolMissing …"""
        counts = self._integers(raw, self._at, self._width, signed=True)
        if self._shares is None or not counts:
            return _pages(counts)
        shares = self._integers(raw, self._shares, self._target.abi.pointer_size, signed=False)
        return _pages([sum(one) for one in zip(counts, self._all_shares(shares), strict=False)])

    def _integers(self, raw: bytes, within: int, width: int, *, signed: bool) -> list[int]:
        """The same member of each counter."""
        starts = range(within, len(raw) - width + 1, self._stride)
        some = starts[: len(Pages._fields)]
        return [int.from_bytes(raw[at : at + width], self._order, signed=signed) for at in some]

    def _all_shares(self, pointers: Sequence[int]) -> list[int]:
        """The sum of all CPUs' shares of each counter."""
        first, size = min(pointers), max(pointers) - min(pointers) + SHARE
        if size > NEAR:
            cpus = self._cpus
            return [cpus.sum(one, cpus.possible, SHARE, signed=True) for one in pointers]
        total = [0] * len(pointers)
        for cpu in self._cpus.possible:
            block = self._target.read(self._cpus.address(first, cpu), size)
            for at, pointer in enumerate(pointers):
                share = block[pointer - first : pointer - first + SHARE]
                total[at] += int.from_bytes(share, self._order, signed=True)
        return total

    @cached_property
    def _cpus(self) -> PerCpu:
        return PerCpu(self._target)


def _pages(numbers: Sequence[int]) -> Pages:
    return Pages(*(max(number, 0) for number in numbers))
