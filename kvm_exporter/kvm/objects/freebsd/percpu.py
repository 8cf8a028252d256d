"""Where does each CPU keep what is its own?  struct pcpu, UMA_ZONE_PCPU memory, counter(9).

1. cpuid_to_pcpu has the address of a struct pcpu for each CPU number, 0 for an absent one.  Numbers
   may have gaps: they end at mp_maxid, and mp_ncpus only counts them (sys/sys/pcpu.h).
2. A UMA_ZONE_PCPU allocation, a counter(9) among them, has a copy a CPU.  pc_zpcpu_offset is the
   way from its address to the CPU's copy (since 13; on amd64 the address is kept as the distance
   from __pcpu, so that every CPU's way is long: sys/amd64/include/pcpu.h).
3. Kernels without that member, or of which the types are not known: copies are a page apart
   (UMA_PCPU_ALLOC_SIZE), from __pcpu on where that is a pointer, which it is on amd64 since 13.
4. A counter that is not allocated yet is EARLY_COUNTER, which all of them share: it counts nothing
   in particular.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import cached_property

from kvm_exporter.kvm.errors import FormatError, KvmError
from kvm_exporter.kvm.target import Target
from kvm_exporter.kvm.types.flatten import composite

PCPU = "struct pcpu"

MOST_CPUS = 4096
"""More than any kernel has (MAXCPU is 1024): the bound of what is believed of mp_maxid."""


class PerCpu:
    """The CPUs of one kernel in memory.  Errors: KvmError where the kernel does not tell."""

    def __init__(self, target: Target, page_size: int) -> None:
        self._target = target
        self._page_size = page_size

    @cached_property
    def addresses(self) -> Mapping[int, int]:
        """The struct pcpu of each CPU that is there, by its number, ascending."""
        target = self._target
        last = target.integer(target.address("mp_maxid"), 4, signed=True)
        if not 0 <= last < MOST_CPUS:
            raise FormatError(f"mp_maxid: {last} cannot be the highest CPU number")
        array = target.read(target.address("cpuid_to_pcpu"), (last + 1) * target.abi.pointer_size)
        pointers = struct.iter_unpack(target.abi.order + target.abi.pointer, array)
        found = {cpu: address for cpu, (address,) in enumerate(pointers) if address}
        if not found:
            raise FormatError("cpuid_to_pcpu: this kernel has no CPU; its memory is damaged")
        return found

    @property
    def size(self) -> int:
        """Bytes of a struct pcpu; TypeMissing where the kernel's types are not known."""
        return composite(self._target.types, PCPU).size

    def copy(self, base: int, cpu: int) -> int:
        """Where a CPU's copy of the UMA_ZONE_PCPU allocation ``base`` lies."""
        if cpu not in self._offsets:
            raise KvmError(f"CPU {cpu} is not there, and has no copy of {base:#x}")
        return (base + self._offsets[cpu]) & self._target.abi.address_mask

    def counter(self, base: int) -> int:
        """What ``base`` has counted, over all CPUs, modulo 2^64."""
        if not self.allocated(base):
            raise FormatError(f"counter {base:#x}: it is not allocated yet")
        copies = (self._target.integer(self.copy(base, cpu), 8) for cpu in self.addresses)
        return sum(copies) % 2**64

    def allocated(self, base: int) -> bool:
        """Whether ``base`` is a counter of its own (rule 4)."""
        return bool(base) and self.copy(base, next(iter(self.addresses))) != self._early

    @cached_property
    def _offsets(self) -> Mapping[int, int]:
        """From an allocation's address to each CPU's copy (rules 2 and 3)."""
        if self._target.has(PCPU, "pc_zpcpu_offset"):
            record = self._target.record(PCPU, ("pc_zpcpu_offset",))
            return {cpu: record.at(address)[0] for cpu, address in self.addresses.items()}
        first = self._first
        return {cpu: first + self._page_size * cpu for cpu in self.addresses}

    @property
    def _first(self) -> int:
        # a name may lose a leading underscore: hence three
        (symbol,) = self._target.symbols.lookup(["___pcpu"])
        pointer = symbol is not None and symbol.size == self._target.abi.pointer_size
        return self._target.pointer(symbol.value) if symbol and pointer else 0

    @cached_property
    def _early(self) -> int | None:
        """Where EARLY_COUNTER counts: in the first CPU's struct pcpu (rule 4)."""
        if not self._target.has(PCPU, "pc_early_dummy_counter"):
            return None
        first = next(iter(self.addresses.values()))
        return first + self._target.offset(PCPU, "pc_early_dummy_counter")
