"""Which global symbol has a name?  .dynsym through its .hash, which the kernel linker needs.

A kernel exports a third of its symbols so, and nearly all that anybody asks for.  Only what is not
found here needs a look through all of .symtab.  The function is that of the System V ABI.
"""

from __future__ import annotations

import sys
from array import array

from kvm_exporter.kvm.symbols.symtab import Entry, SymbolTable

MOST_CHAINED = 1 << 10
"""Symbols of one bucket that are looked at; linkers make one or two."""


class DynamicSymbols:
    """The symbols of ``table`` (.dynsym) by the words of ``hashes`` (.hash).

    Damaged words cost answers: what is not found here may still be in .symtab.
    """

    def __init__(self, table: SymbolTable, hashes: bytes) -> None:
        words = array("I", hashes[: len(hashes) & ~3])
        if table.abi.byteorder != sys.byteorder:
            words.byteswap()
        self._table = table
        buckets = words[0] if len(words) > 2 else 0
        self._buckets = words[2 : 2 + buckets]
        self._chains = words[2 + buckets :]

    def find(self, name: bytes) -> Entry | None:
        """The symbol of just that name; None where there is none, or it cannot be told."""
        if not self._buckets or not name:
            return None
        at = self._buckets[sysv_hash(name) % len(self._buckets)]
        for _ in range(MOST_CHAINED):
            if not 0 < at < min(len(self._chains), len(self._table)):
                break
            entry = self._table[at]
            if entry.found and self._table.is_called(entry, name):
                return entry
            at = self._chains[at]
        return None


def sysv_hash(name: bytes) -> int:
    """elf_hash() of the System V ABI, "Hash Table"."""
    value = 0
    for byte in name:
        value = (value << 4) + byte
        value = (value ^ value >> 24 & 0xF0) & 0x0FFFFFFF
    return value
