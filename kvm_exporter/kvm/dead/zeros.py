"""What was in the kernel's own data where a dump has left it out?  Zeros.

makedumpfile leaves out pages for being zeros, page cache, users' or free.  Those of .data and .bss
are none of the others, but an ELF core (-E) does not tell why a page is not there, as a kdump file
does.  Only reads of the kernel's addresses are answered so: a user's page that was left out stays
away, whatever it held.
"""

from __future__ import annotations

from functools import cached_property

from kvm_exporter.kvm.errors import Fault, Filtered
from kvm_exporter.kvm.memory import PAGE, Memory, Symbols

BOUNDS = ("_sdata", "_edata", "__bss_start", "__bss_stop")
"""include/asm-generic/sections.h; between the two there are sections that are freed after boot."""


class KernelZeros:
    """``memory`` with zeros in what was left out of the kernel's data, which ``symbols`` find."""

    def __init__(self, memory: Memory, symbols: Symbols) -> None:
        self._memory = memory
        self._symbols = symbols
        self.write = memory.write
        self.place = memory.place
        self.close = memory.close

    def read(self, address: int, length: int) -> bytes:
        """As Memory.read."""
        data = self._some(address, length)
        if len(data) == length or not data:
            return data
        parts = [data]
        at, end = address + len(data), address + length
        while at < end:
            try:
                parts.append(self._some(at, end - at))
            except Fault:
                break
            at += len(parts[-1])
        return b"".join(parts)

    def _some(self, address: int, length: int) -> bytes:
        try:
            return self._memory.read(address, length)
        except Filtered:
            if not any(start <= address < end for start, end in self._own):
                raise
        # what is zeros, is so up to the end of the smallest page at least
        return bytes(min(length, PAGE - address % PAGE))

    @cached_property
    def _own(self) -> list[tuple[int, int]]:
        """Where the kernel's data lies; nowhere if a symbol is missing."""
        found = [symbol.value for symbol in self._symbols.lookup(BOUNDS) if symbol]
        whole = len(found) == len(BOUNDS)
        return list(zip(found[::2], found[1::2], strict=True)) if whole else []
