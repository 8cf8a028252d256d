"""Which CPUs has a dead Linux, and where does each keep what is its own?

1. CPU numbers are bits of __cpu_possible_mask and __cpu_online_mask, words of unsigned long, below
   nr_cpu_ids (kernel/cpu.c, include/linux/cpumask.h).  panic() takes the other CPUs offline when it
   stops them (stop_this_cpu(), ipi_cpu_stop()), but leaves them in __cpu_active_mask.
2. A per-CPU variable's symbol, like a pointer that alloc_percpu() gave, is the address of no CPU's
   copy: __per_cpu_offset[cpu] is the way to it (include/linux/percpu-defs.h).  That holds on
   x86_64, too, where the symbols counted from zero until 6.15 (9d7de2aa8b41).
3. A kernel for one CPU (no CONFIG_SMP) has no such table: the symbol is the variable itself.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from kvm_exporter.kvm.errors import FormatError, KvmError
from kvm_exporter.kvm.objects.linux import variables
from kvm_exporter.kvm.target import Target

MOST_CPUS = 1 << 14
"""More than NR_CPUS of any kernel (8192)."""

ACTIVE = "__cpu_active_mask"
OFFSETS = "__per_cpu_offset"


class PerCpu:
    """The CPUs of one kernel in memory.  Errors: KvmError where the kernel does not tell."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._places: dict[str, int | None] = {}

    @cached_property
    def possible(self) -> Sequence[int]:
        """The CPUs that there could be, each of which has its copies; ascending."""
        return _some(self._mask("__cpu_possible_mask"))

    @cached_property
    def online(self) -> Sequence[int]:
        """The CPUs that run, or did when the kernel died; ascending."""
        return self.running

    @property
    def running(self) -> Sequence[int]:
        """The same as of now."""
        active: set[int] | None = None
        if self._place(ACTIVE) is not None:
            active = variables.known(self._target, ACTIVE, lambda: self._mask(ACTIVE))
        return _some(self._mask("__cpu_online_mask") | (active or set()))

    def address(self, base: int, cpu: int) -> int:
        """Where the copy of a CPU lies of what has the symbol, or the pointer, ``base``."""
        if cpu not in self._offsets:
            raise KvmError(f"CPU {cpu} is not there, and has no copy of {base:#x}")
        return (base + self._offsets[cpu]) & self._target.abi.address_mask

    def symbol(self, name: str, cpu: int) -> int:
        """Where a CPU's copy of the variable ``name`` lies."""
        return self.address(self._target.address(name), cpu)

    def sum(self, base: int, cpus: Iterable[int], size: int, *, signed: bool = False) -> int:
        """The integers of ``size`` bytes at these CPUs' copies of ``base``, together."""
        copies = (self.address(base, cpu) for cpu in cpus)
        return sum(self._target.integer(copy, size, signed=signed) for copy in copies)

    @cached_property
    def _offsets(self) -> Mapping[int, int]:
        """From a symbol's or pointer's address to each CPU's copy (rules 2 and 3)."""
        target = self._target
        if not variables.has(target, OFFSETS):
            return dict.fromkeys(self.possible, 0)
        count = self.possible[-1] + 1
        table = target.read(target.address(OFFSETS), count * target.abi.pointer_size)
        offsets = struct.unpack(f"{target.abi.order}{count}{target.abi.pointer}", table)
        return {cpu: offsets[cpu] for cpu in self.possible}

    def _mask(self, name: str) -> set[int]:
        target, place = self._target, self._place(name)
        if place is None:
            if variables.has(target, OFFSETS):
                raise FormatError(f"the kernel has several CPUs, and no symbol {name}")
            return {0}
        width = target.abi.pointer_size
        words = -(-self._limit // (8 * width))
        raw = target.read(place, words * width)
        values = struct.unpack(f"{target.abi.order}{words}{target.abi.pointer}", raw)
        bits = sum(word << at * 8 * width for at, word in enumerate(values))
        return {cpu for cpu in range(self._limit) if bits >> cpu & 1}

    def _place(self, name: str) -> int | None:
        """Where a mask lies; None where the kernel has none.  Looked for once."""
        if name not in self._places:
            (found,) = self._target.symbols.lookup([name])
            self._places[name] = found and found.value
        return self._places[name]

    @cached_property
    def _limit(self) -> int:
        """Bits of a mask that mean a CPU."""
        if not variables.has(self._target, "nr_cpu_ids"):  # CONFIG_FORCE_NR_CPUS, or one CPU
            return self._declared
        limit = variables.unsigned(self._target, "nr_cpu_ids")
        if not 0 < limit <= MOST_CPUS:
            raise FormatError(f"nr_cpu_ids: there cannot be {limit} CPUs")
        return limit

    @property
    def _declared(self) -> int:
        return min(8 * self._target.view(0, "struct cpumask").size, MOST_CPUS)


def _some(cpus: set[int]) -> Sequence[int]:
    if not cpus:
        raise FormatError("this kernel has no CPU; its memory is damaged")
    return tuple(sorted(cpus))
